"""Records of the control plane in rows: a field is the column of its name. Pure."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def record_of(kind: type[T], row: Mapping[Any, Any]) -> T:
    """Build a record from the columns named like its fields; other columns are skipped."""
    # Names of columns may be of a class of their own, which msgspec does not take for names.
    return msgspec.convert({str(name): value for name, value in row.items()}, kind)


def values_of(record: Any) -> dict[str, Any]:
    """Return the values of a record's columns, in types that databases and JSON have."""
    values: dict[str, Any] = msgspec.to_builtins(record, str_keys=True, order="deterministic")
    return values
