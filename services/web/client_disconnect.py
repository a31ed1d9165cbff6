"""Work for a caller that ends when the caller hangs up."""

import asyncio

from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.runtime.lifecycle import cancel

ABANDONED = Counter("attrikit_http_reads_abandoned", "Reads whose caller hung up before the answer")


class CallerGone(Exception):
    """The caller hung up; the work for it was cancelled."""


async def answer_unless_gone(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let `app` answer; cancel it and raise `CallerGone` when the caller hangs up before the answer's end.

    What `receive` gives meanwhile is thrown away: for requests whose body has been read, or is not wanted.
    """
    is_answered = False

    async def send_on(message: Message) -> None:
        nonlocal is_answered
        is_answered = message["type"] == "http.response.body" and not message.get("more_body", False)
        await send(message)

    answering = asyncio.ensure_future(_run(app, scope, receive, send_on))
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((answering, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done() and not is_answered:
            raise CallerGone
        await answering
    finally:
        await cancel(gone, answering)


async def _run(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EndWithCaller:
    """ASGI middleware: a read ends when nobody waits for its answer any more, and its queries with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        try:
            await answer_unless_gone(self._app, scope, receive, send)
        except CallerGone:
            ABANDONED.inc()
