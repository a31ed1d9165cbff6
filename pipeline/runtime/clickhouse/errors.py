"""Errors of ClickHouse, and the class of the tree that a driver's error belongs to. Pure.

ClickHouseError
├── ClickHouseUnavailable   nothing wrong with what was asked: try again later
│   ├── ClickHouseBusy      too many queries wait in this process: shed the load
│   └── ClickHouseTimeout   the query took longer than its limit: ask for less
├── ClickHouseRejected      the SQL or the data is at fault: trying again will not help
└── ClickHouseLocked        another process has the chDB directory: do not start
"""

from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError as DriverError
from clickhouse_connect.driver.exceptions import Error as CodedDriverError
from clickhouse_connect.driver.exceptions import OperationalError
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

# Source of the numbers: ClickHouse, src/Common/ErrorCodes.cpp.
_TIMEOUT_CODES: Final = frozenset({159, 160})
_QUERY_RETRY_CODES: Final = frozenset(
    # too many queries, no connection, network, memory, read-only, cancelled, Keeper, a replica that lacks a block,
    # database or table not there yet
    {60, 81, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 279, 285, 286, 289, 319, 394, 425, 439, 999}
)
_BAD_DATA_CODES: Final = frozenset(
    # cannot parse …, unexpected end, incorrect data, type mismatch, constraint, too large, null where none may be
    {6, 25, 26, 27, 32, 33, 38, 41, 53, 69, 70, 72, 117, 128, 130, 131, 306, 349, 407, 441, 467, 469, 675, 676, 691}
)


class ClickHouseError(Exception):
    """Base of the tree above. `code` is ClickHouse's own number where it gave one."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class ClickHouseUnavailable(ClickHouseError):
    """Try again later."""


class ClickHouseBusy(ClickHouseUnavailable):
    """Too many queries wait in this process."""


class ClickHouseTimeout(ClickHouseUnavailable):
    """The query took longer than its limit."""


class ClickHouseRejected(ClickHouseError):
    """The SQL or the data is at fault."""


class ClickHouseLocked(ClickHouseError):
    """Another process has the chDB directory open."""


def is_unreachable(error: DriverError) -> bool:
    """True if no connection to the server came about; one that broke later may be the fault of one query (pure)."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MaxRetryError):
            cause = cause.reason
        if isinstance(cause, NewConnectionError | ConnectTimeoutError):
            return True
        cause = cause.__cause__ if cause is not None else None
    return False


def classify(error: DriverError, *, is_insert: bool) -> ClickHouseError:
    """Return the class of the tree that a driver's error belongs to (pure)."""
    code = error.code if isinstance(error, CodedDriverError) else None
    message = str(error)
    if is_insert:
        # chDB cannot put an error message with undecodable bytes of the data into words: it is about the data.
        is_undecodable = code is None and "codec can't decode" in message
        is_rejected = code in _BAD_DATA_CODES or is_undecodable
        return ClickHouseRejected(message, code) if is_rejected else ClickHouseUnavailable(message, code)
    if code in _TIMEOUT_CODES:
        return ClickHouseTimeout(message, code)
    if code in _QUERY_RETRY_CODES or (code is None and isinstance(error, OperationalError)):
        return ClickHouseUnavailable(message, code)
    return ClickHouseRejected(message, code)
