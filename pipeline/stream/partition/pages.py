"""Large states in pages, so that an event writes what it changes and not all there is. Pure.

A state up to `WHOLE_BYTES` is one record, encoded as it is. A larger one is cut into pages of up to 1 KB, each under a
key of its own, and a *head* under the state's key: the list of the pieces the encoded state is made of. A piece is a
page, a part of one, or bytes that stand in the head itself. When the state changes, what is found again of its pages
stays where it is and the rest goes into the head; when that grows too long, it becomes pages.

    encoded   [ id, id, id, … 64 more ids ][ a touch changed ][ … ]
    head      [ page 7 ]["new id"][ page 8 until byte 300 ]["change"][ page 8 from byte 340 ][ page 9 ] …

A page is never written again: another content gets another number, and a page no head names any more is deleted. Head,
pages and deletions are part of one group, so they agree like everything else in it. It does not matter how the encoded
state came to change: it is compared as bytes. States of versions that knew no pages are read as they are, and cut when
they change next.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

WHOLE_BYTES: Final = 4_096
PAGE_BYTES: Final = 1_024
HEAD_BYTES: Final = 2_048
"""Limit of the bytes that a head holds itself; more of them become pages."""
_SHORTEST: Final = 48
"""No shorter part of a page is referred to, nor is a shorter run of bytes made a page."""
_MANY_PIECES: Final = 32
_SEARCHED: Final = 8
"""A page is looked for within this many times its length."""
_MARK: Final = b"\xc1"
"""First byte of a head. No msgpack begins with it, so no state does."""
_PREFIX: Final = b"\x00p\x1f"
_NUMBER_BYTES: Final = 4

Piece: TypeAlias = tuple[int, int, int] | bytes
"""(page, from, until), or the bytes themselves."""
Record: TypeAlias = tuple[bytes, bytes]
ReadMany: TypeAlias = Callable[[Sequence[bytes]], list[bytes | None]]


class PageMissing(RuntimeError):
    """A head names a page that is not there: the store is no copy of the changelog."""


class Head(msgspec.Struct, array_like=True, gc=False):
    next_page: int
    pieces: list[Piece]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Head).decode


@dataclass(frozen=True, slots=True)
class Layout:
    """How a large state is stored: its head, and the pages this names."""

    head: Head
    pages: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Change:
    """Records of a state to write and to delete, and its layout afterwards."""

    puts: list[Record]
    deletes: list[bytes]
    layout: Layout | None


def write_state(key: bytes, data: bytes, before: Layout | None) -> Change:
    """`before`: how the state is stored now; None: whole, or not at all."""
    if len(data) <= (WHOLE_BYTES // 2 if before else WHOLE_BYTES):
        return Change([(key, data)], delete_pages(key, before), None)
    found: list[Piece] = list(_joined(_found_again(data, before))) if before else [data]
    written: dict[int, bytes] = {}
    next_page = before.head.next_page if before else 0
    pieces: list[Piece] = []
    for piece in _made_pages(found, before):
        if isinstance(piece, _NewPage):
            written[next_page] = bytes(piece)
            pieces.append((next_page, 0, len(piece)))
            next_page += 1
        else:
            pieces.append(piece)
    named = {piece[0] for piece in pieces if isinstance(piece, tuple)}
    pages = {number: page for number, page in (before.pages if before else {}).items() if number in named}
    gone = [_page_key(key, number) for number in (before.pages if before else {}) if number not in named]
    head = Head(next_page, pieces)
    puts = [(key, _MARK + _encode(head)), *((_page_key(key, number), page) for number, page in written.items())]
    return Change(puts, gone, Layout(head, pages | written))


def delete_pages(key: bytes, layout: Layout | None) -> list[bytes]:
    """The keys of all pages."""
    return [_page_key(key, number) for number in layout.pages] if layout else []


def read_states(
    found: Sequence[tuple[bytes, bytes | None]], read_many: ReadMany
) -> Iterator[tuple[bytes | None, Layout | None]]:
    """The encoded states of (key, stored value), None where there is none, and how each is stored. `read_many` reads
    pages."""
    heads = {key: _decode(value[1:]) for key, value in found if value and value[0] == _MARK[0]}
    if not heads:
        return ((value, None) for _, value in found)
    return _read_in_pages(found, heads, read_many)


def _read_in_pages(
    found: Sequence[tuple[bytes, bytes | None]], heads: Mapping[bytes, Head], read_many: ReadMany
) -> Iterator[tuple[bytes | None, Layout | None]]:
    names = [(key, number) for key, head in heads.items() for number in _named(head)]
    values = read_many([_page_key(key, number) for key, number in names])
    pages: dict[bytes, dict[int, bytes]] = {key: {} for key in heads}
    for (key, number), page in zip(names, values, strict=True):
        if page is None:
            raise PageMissing(f"page {number} of the state {key!r} is not there")
        pages[key][number] = page
    for key, value in found:
        head = heads.get(key)
        if head is None:
            yield value, None
        else:
            yield b"".join(_spelled_out(head.pieces, pages[key])), Layout(head, pages[key])


def _named(head: Head) -> Iterable[int]:
    return dict.fromkeys(piece[0] for piece in head.pieces if isinstance(piece, tuple))


def _spelled_out(pieces: Iterable[Piece], pages: Mapping[int, bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield pages[piece[0]][piece[1] : piece[2]] if isinstance(piece, tuple) else piece


def _page_key(key: bytes, number: int) -> bytes:
    return b"".join((_PREFIX, key, b"\x1f", number.to_bytes(_NUMBER_BYTES, "big")))


# What is found again


def _found_again(data: bytes, before: Layout) -> Iterator[Piece]:
    """`data` as pieces of pages there are and of other bytes. Pieces keep their order, so each is looked for after the
    one before it."""
    at = 0
    for piece in before.head.pieces:
        if not isinstance(piece, tuple):
            continue
        number, start, stop = piece
        text = before.pages[number][start:stop]
        place = at if data.startswith(text, at) else data.find(text, at, at + _SEARCHED * len(text))
        if place >= 0:
            yield data[at:place]
            yield piece
            at = place + len(text)
            continue
        head = _common_prefix(text, data[at : at + len(text)])
        if head >= _SHORTEST:
            yield number, start, start + head
            text, at, start = text[head:], at + head, start + head
        place, tail = _find_end(data, at, text)
        if tail >= _SHORTEST:
            yield data[at:place]
            yield number, stop - tail, stop
            at = place + tail
    yield data[at:]


def _common_prefix(one: bytes, other: bytes) -> int:
    """Its length, by halving: comparing slices is fast."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _find_end(data: bytes, at: int, text: bytes) -> tuple[int, int]:
    """(where it begins, length) of the longest end of `text` that stands in `data` soon after `at`; length 0: none."""
    if len(text) < _SHORTEST:
        return at, 0
    place = data.find(text[-_SHORTEST:], at, at + 2 * len(text))
    if place < 0:
        return at, 0
    end = place + _SHORTEST
    before = data[max(at, end - len(text)) : end]
    tail = _common_prefix(text[::-1], before[::-1])
    return end - tail, tail


# What is written anew


class _NewPage(bytes):
    """Content of a page that is to be written."""


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Neighbours that are one: bytes after bytes, a part of a page after the part before it."""
    last: Piece = b""
    for piece in pieces:
        if isinstance(last, bytes) and isinstance(piece, bytes):
            last += piece
        elif isinstance(last, tuple) and isinstance(piece, tuple) and last[::2] == piece[:2]:
            last = (last[0], last[1], piece[2])
        elif piece:
            if last:
                yield last
            last = piece
    if last:
        yield last


def _made_pages(pieces: list[Piece], before: Layout | None) -> Iterator[Piece]:
    """Make pages of bytes in the head and of the short pieces beside them, once the head holds too many bytes; of all
    short pieces, once there are many or little is left of their pages."""
    is_scattered = _is_scattered(pieces, before)
    if not is_scattered and sum(len(piece) for piece in pieces if isinstance(piece, bytes)) <= HEAD_BYTES:
        yield from pieces
        return
    least = 0 if is_scattered else _SHORTEST
    run: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) or piece[2] - piece[1] < PAGE_BYTES // 2:
            run.append(piece)
        else:
            yield from _pages_of(run, least, before)
            yield piece
            run = []
    yield from _pages_of(run, least, before)


def _is_scattered(pieces: list[Piece], before: Layout | None) -> bool:
    parts = [piece for piece in pieces if isinstance(piece, tuple)]
    pages = before.pages if before else {}
    used = sum(stop - start for _, start, stop in parts)
    there = sum(len(pages[number]) for number in {number for number, _, _ in parts})
    return there > 2 * used or len(pieces) > there // (PAGE_BYTES // 2) + _MANY_PIECES


def _pages_of(run: list[Piece], least: int, before: Layout | None) -> Iterator[Piece]:
    if sum(len(piece) for piece in run if isinstance(piece, bytes)) < least:
        yield from run
        return
    text = b"".join(_spelled_out(run, before.pages if before else {}))
    count = -(-len(text) // PAGE_BYTES)
    for number in range(count):
        yield _NewPage(text[len(text) * number // count : len(text) * (number + 1) // count])
