"""Server-sent events: messages to a page that stays open (WHATWG HTML, section 9.2). Pure."""

from typing import Final

MEDIA_TYPE: Final = "text/event-stream"
HEADERS: Final = {"X-Accel-Buffering": "no"}
"""Headers of the answer: nginx in front passes each message on at once."""
HEARTBEAT: Final = b": still here\n\n"
"""A comment, which the page does not see; proxies and servers see that the connection is alive."""


def message(event: str, data: str = "", message_id: str = "") -> bytes:
    """Make a message. `message_id`: a page that connects again says which it had last (`Last-Event-ID`)."""
    lines = [f"event: {event}", *(f"data: {line}" for line in data.splitlines() or [""])]
    return "\n".join([*lines, *([f"id: {message_id}"] if message_id else [])]).encode() + b"\n\n"


def retry_after(milliseconds: int) -> bytes:
    """Make the line that says when a page whose connection broke connects again."""
    return f"retry: {milliseconds}\n\n".encode()
