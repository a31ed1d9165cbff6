"""Rows of an answer of ClickHouse, decoded piece by piece as they come. Pure, but for the budget it charges.

Decoding holds the interpreter, so it goes on in pieces: between two of them the event loop has its turn.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

import msgspec

from services.web.budget import Held

RowT = TypeVar("RowT", bound=msgspec.Struct)
PIECE_BYTES: Final = 128 * 1024
"""Bytes decoded at once: less than a millisecond."""
CUT_BYTES: Final = 4 * 1024 * 1024
"""Bytes of rows after which a list is cut; what is left of it is read when this part has been sent."""
BYTES_A_BYTE: Final = 3
"""Bytes of memory that a byte of rows takes at most as text, as objects and as the answer's text together."""
_MAX_LINE_BYTES: Final = 16 * 1024 * 1024


class BrokenRows(Exception):
    """Error: the data received are no rows: the query failed after it had begun to answer."""


class Found(msgspec.Struct, Generic[RowT]):
    """Rows found; `is_cut`: there are more of them."""

    rows: list[RowT]
    is_cut: bool = False


def whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes, cut at line ends."""
    rest = b""
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        if end:
            yield rest + piece[:end]
            rest = piece[end:]
        else:
            rest += piece
        if len(rest) > _MAX_LINE_BYTES:
            raise BrokenRows("a line without end")
    if rest:
        raise BrokenRows(rest[-300:].decode("utf-8", "replace"))


def decode_rows(row_type: type[RowT], lines: bytes) -> list[RowT]:
    """Decode JSON lines to rows. Raises `BrokenRows`."""
    try:
        return msgspec.json.Decoder(row_type).decode_lines(lines)
    except msgspec.DecodeError as error:
        raise BrokenRows(f"{error}: {lines[-300:].decode('utf-8', 'replace')}") from None


def collect_rows(row_type: type[RowT], pieces: Iterable[bytes], held: Held, cut_bytes: int | None) -> Found[RowT]:
    """Decode rows until there are no more, or until they fill `cut_bytes`; at least one. Each byte is charged to `held`
    before it is decoded. Raises `BrokenRows`, and `Overloaded` of the budget.
    """
    found: Found[RowT] = Found([])
    size_bytes = 0
    for lines in whole_lines(pieces):
        held.take(len(lines) * BYTES_A_BYTE)
        found.rows += decode_rows(row_type, lines)
        size_bytes += len(lines)
        if cut_bytes is not None and size_bytes >= cut_bytes:
            found.is_cut = True
            break
    return found
