"""The tables of ClickHouse, kept and brought back by its own BACKUP and RESTORE; a server and chDB have both."""

import asyncio
from collections.abc import Iterable
from typing import Final
from uuid import uuid4

import msgspec
from pydantic import SecretStr

from deploy.backup.manifest import BackupError, Loaded
from pipeline.runtime.clickhouse import ClickHouse, ClickHouseError, ClickHouseUnavailable
from pipeline.runtime.setting_checks import url_of_each_host
from pipeline.runtime.settings import Settings
from schemas.clickhouse.cluster import SHARDING_KEYS

_LOOK_SECONDS: Final = 0.5
_RUNNING: Final = {"CREATING_BACKUP", "RESTORING"}
_DONE: Final = {"BACKUP_CREATED", "RESTORED"}
_TABLES_SQL: Final = "SELECT name FROM system.tables WHERE database = {database:String}"
_COUNTED: Final = frozenset(SHARDING_KEYS) - {"webhook_attempts"}
"""Tables of facts of apps, but for the one whose rows end by age: it may have fewer than an old backup."""


async def open_one_host(settings: Settings, *, creates: bool = False) -> ClickHouse:
    """Open a client of one server: a backup is known only to that which makes it. `creates`: the database, if it is
    missing. Raises `ClickHouseError`.
    """
    urls = url_of_each_host(settings.clickhouse_url.get_secret_value())
    for url in urls:
        clickhouse = ClickHouse.open(settings.model_copy(update={"clickhouse_url": SecretStr(url)}))
        try:
            await (clickhouse.create_database() if creates else clickhouse.query("SELECT 1"))
        except ClickHouseError as error:
            clickhouse.close()
            if url == urls[-1] or not isinstance(error, ClickHouseUnavailable):
                raise
        else:
            return clickhouse
    raise AssertionError("there is always one host")


async def keep(clickhouse: ClickHouse, to: str, base: str) -> None:
    """Back up the database. `to`, `base`: places in SQL; an empty base: all of it."""
    statement = f"BACKUP DATABASE {clickhouse.database}{_on(clickhouse)} TO {to}"
    await _run(clickhouse, statement, f", base_backup = {base}" if base else "")


async def bring_back(clickhouse: ClickHouse, database: str, place: str) -> None:
    """Restore the database of this name in the backup as the client's, whose tables are dropped: they are empty, and
    may be of another release.
    """
    await clickhouse.command(f"DROP DATABASE IF EXISTS {clickhouse.database}{_on(clickhouse)} SYNC")
    await clickhouse.create_database()
    await _run(clickhouse, f"RESTORE DATABASE {database} AS {clickhouse.database}{_on(clickhouse)} FROM {place}", "")


def _on(clickhouse: ClickHouse) -> str:
    """Return the words that make a statement that of all servers of a cluster; they agree on it through Keeper."""
    return clickhouse.cluster.on if clickhouse.cluster else ""


async def _run(clickhouse: ClickHouse, statement: str, more_settings: str) -> None:
    """Begin in the background, so that no limit on the time of a query ends it, and wait. Raises `BackupError`."""
    number = uuid4().hex
    await clickhouse.command(f"{statement} SETTINGS id = '{number}'{more_settings} ASYNC")
    while True:
        found = await clickhouse.query(
            "SELECT toString(status), error FROM system.backups WHERE id = {id:String}", {"id": number}
        )
        status, error = found[0] if found else ("forgotten: was the server started again?", "")
        if status in _DONE:
            return
        if status not in _RUNNING:
            raise BackupError(f"ClickHouse: {status}: {error.partition(', Stack trace')[0][:500]}")
        await asyncio.sleep(_LOOK_SECONDS)


async def what_is_there(clickhouse: ClickHouse) -> str:
    """Return the name of a table with rows, on any server; empty if there is none."""
    tables = (
        f"clusterAllReplicas('{clickhouse.cluster.name}', system.tables)" if clickhouse.cluster else "system.tables"
    )
    sql = (
        f"SELECT name FROM {tables} WHERE database = {{database:String}} AND total_rows > 0 "  # noqa: S608 -- of settings
        "AND name != 'schema_migrations' ORDER BY name LIMIT 1"
    )
    with_rows = await clickhouse.query(sql, {"database": clickhouse.database})
    return str(with_rows[0][0]) if with_rows else ""


async def count_rows(clickhouse: ClickHouse) -> dict[str, dict[str, int]]:
    """Count the rows by table and app, of each id the last."""
    there = await clickhouse.query(_TABLES_SQL, {"database": clickhouse.database})
    found = {}
    for table in sorted(_COUNTED & {str(name) for (name,) in there}):
        sql = f"SELECT toString(app_id), count() FROM {table} FINAL GROUP BY app_id"  # noqa: S608 -- a table of ours
        rows = await clickhouse.query(sql, timeout_seconds=0)
        found[table] = {str(app): int(count) for app, count in sorted(rows)}
    return found


async def applied_migrations(clickhouse: ClickHouse) -> tuple[int, ...]:
    rows = await clickhouse.query("SELECT number FROM schema_migrations FINAL ORDER BY number")
    return tuple(int(number) for (number,) in rows)


async def loaded(clickhouse: ClickHouse) -> tuple[Loaded, ...]:
    rows = await clickhouse.query("SELECT topic, `partition`, next_offset FROM loaded_offsets FINAL ORDER BY ALL")
    return tuple(Loaded(*row) for row in rows)


async def set_loaded(clickhouse: ClickHouse, positions: Iterable[Loaded], now_ms: int) -> None:
    await clickhouse.command("TRUNCATE TABLE loaded_offsets")
    rows = [msgspec.structs.asdict(one) | {"loaded_at_ms": now_ms} for one in positions]
    if rows:
        await clickhouse.insert_ndjson("loaded_offsets", msgspec.json.Encoder().encode_lines(rows))
