"""Pages of a table's rows in the order of its sort key: where the next one begins, and where one ends. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.query.core.rows import whole_lines

Key = tuple[Any, ...]
"""Values of the columns of a sort key, as JSON has them."""


@dataclass(frozen=True)
class Columns:
    types: Mapping[str, str]
    """Type by name, without columns that are computed when they are read."""
    sort_key: tuple[str, ...]

    def key_of(self, line: bytes) -> Key:
        row = json.loads(line)
        return tuple(row[name] for name in self.sort_key)


@dataclass(frozen=True)
class Page:
    lines: list[bytes]
    """JSON lines of rows."""
    is_cut: bool
    """True if rows were left for the next page."""

    @property
    def data(self) -> bytes:
        return b"\n".join(self.lines)


def page_of(pieces: Iterable[bytes], columns: Columns, page_bytes: int) -> Page:
    """Return the rows of the first `page_bytes`, and those that follow with the same key as the last of them. Raises
    `BrokenRows`.
    """
    held: list[bytes] = []
    size = 0
    for line in (line for lines in whole_lines(pieces) for line in lines.splitlines()):
        if size >= page_bytes and columns.key_of(line) != columns.key_of(held[-1]):
            return Page(held, is_cut=True)
        held.append(line)
        size += len(line)
    return Page(held, is_cut=False)


def rows_after(key: Key, columns: Columns) -> tuple[str, dict[str, Any]]:
    """Return the condition `WHERE …` of rows after a key, and its parameters; an empty key: of all rows.

    Written out by column, because ClickHouse finds such a range by its primary index, and that of a tuple it does not.
    """
    if not key:
        return "", {}
    names = [f"`{name}`" for name in columns.sort_key]
    values = [f"{{key_{index}:{columns.types[name]}}}" for index, name in enumerate(columns.sort_key)]
    ranges = []
    for index, name in enumerate(names):
        same = [f"{names[before]} = {values[before]}" for before in range(index)]
        ranges.append(" AND ".join([*same, f"{name} > {values[index]}"]))
    bound = {f"key_{index}": value for index, value in enumerate(key)}
    return f" WHERE {' OR '.join(f'({each})' for each in ranges)}", bound
