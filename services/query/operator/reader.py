"""Read what operators ask for from ClickHouse."""

from typing import Any, Final

import msgspec

from pipeline.runtime.clickhouse import ClickHouse
from services.query.operator.answers import (
    ClockRow,
    CountRow,
    DiskState,
    LedgerCounts,
    MergeState,
    MigrationState,
    StoreState,
    TableState,
)
from services.query.operator.statements import LEDGER_SQL, MIGRATIONS_SQL, NOW_SQL, disks_sql, merges_sql, parts_sql

_TIMEOUT_SECONDS: Final = 600.0
"""Timeout of operators' queries: these look at whole tables."""


async def ledger_counts(clickhouse: ClickHouse, partitions: int, from_us: int, through_us: int) -> LedgerCounts:
    """Count final rows of all apps by hour of receipt, received in [`from_us`, `through_us`). Gateways count by the
    minute: of theirs, the minutes wholly inside.
    """
    bound = {"partitions": partitions, "from_us": from_us, "through_us": through_us}
    decode = msgspec.json.Decoder(CountRow, strict=False).decode_lines
    return {
        name: decode(await clickhouse.query_bytes(sql, bound, timeout_seconds=_TIMEOUT_SECONDS))
        for name, sql in LEDGER_SQL.items()
    }


async def store_state(clickhouse: ClickHouse) -> StoreState:
    """Read the state of ClickHouse. Raises the errors of `ClickHouse`."""

    cluster = clickhouse.cluster.name if clickhouse.cluster else ""
    bound = {"database": clickhouse.database}

    async def rows(sql: str, row_type: Any) -> Any:
        return msgspec.json.Decoder(row_type, strict=False).decode_lines(await clickhouse.query_bytes(sql, bound))

    return StoreState(
        now_ms=(await rows(NOW_SQL, ClockRow))[0].now_ms,
        tables=await rows(parts_sql(cluster), TableState),
        merges=(await rows(merges_sql(cluster), MergeState))[0],
        disks=await rows(disks_sql(cluster), DiskState),
        migrations=await rows(MIGRATIONS_SQL, MigrationState),
    )
