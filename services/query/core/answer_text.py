"""The JSON text of answers that may be large, in pieces: encoding one holds the interpreter for less than a
millisecond or two, whatever the whole takes. Pure.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from services.web.envelope import Reply, encode_json

T = TypeVar("T")
BATCH: Final = 50
"""Items encoded at once."""
BEGIN: Final = b'{"success":true,"data":'
END: Final = b"}"


def large_success(data: Any) -> Reply:
    """Return the answer of `services.web.envelope.success`, encoded in pieces. For a thread beside the event loop."""
    return Reply(200, b"".join((BEGIN, *_pieces(data), END)))


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the items, a few at a time."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def items_text(items: Sequence[Any]) -> bytes:
    """Return the text of items in a list, without the brackets."""
    return encode_json(items)[1:-1]


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        yield from _object(value)
    elif isinstance(value, list):
        yield b"[" + b",".join(items_text(batch) for batch in batches(value)) + b"]"
    else:
        yield encode_json(value)


def _object(fields: dict[str, Any]) -> Iterator[bytes]:
    begin = b"{"
    for name, value in fields.items():
        yield begin + encode_json(name) + b":"
        yield from _pieces(value)
        begin = b","
    yield b"}" if fields else b"{}"
