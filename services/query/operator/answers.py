"""Answers to operators: counts by app and hour, and the state of ClickHouse. Pure."""

import msgspec


class CountRow(msgspec.Struct):
    """A count. `hour`: since the epoch, of the receipt. `place`: the partition, where the table knows it."""

    app_id: str
    hour: int
    place: int
    count: int


LedgerCounts = dict[str, list[CountRow]]


class TableState(msgspec.Struct):
    table: str
    parts: int
    rows: int
    bytes: int


class MergeState(msgspec.Struct):
    merges: int
    longest_seconds: float


class DiskState(msgspec.Struct):
    name: str
    free_bytes: int
    total_bytes: int


class MigrationState(msgspec.Struct):
    number: int
    name: str
    checksum: str


class ClockRow(msgspec.Struct):
    now_ms: int


class StoreState(msgspec.Struct):
    """State of ClickHouse."""

    now_ms: int
    tables: list[TableState]
    merges: MergeState
    disks: list[DiskState]
    migrations: list[MigrationState]
