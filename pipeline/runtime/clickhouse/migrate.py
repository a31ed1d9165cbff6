"""Bring a database to the tables of this release."""

from typing import Final

from pipeline.runtime.clickhouse.client import ClickHouse
from pipeline.runtime.clickhouse.errors import ClickHouseUnavailable
from pipeline.runtime.clock import now_ms
from schemas.clickhouse import (
    MIGRATIONS_TABLE,
    AppliedMigration,
    Migration,
    load_migrations,
    pending_migrations,
)
from schemas.clickhouse.replicas import for_cluster

_NO_TABLE: Final = 60
_NO_DATABASE: Final = 81


async def migrate(clickhouse: ClickHouse, migrations: tuple[Migration, ...] | None = None) -> list[int]:
    """Bring the database to this release; returns the numbers applied now. Several processes may do it at once.

    Raises `schemas.clickhouse.MigrationError` if an applied migration differs from its file.
    """
    await clickhouse.create_database()
    await clickhouse.command(for_cluster(MIGRATIONS_TABLE.strip(), clickhouse.cluster))
    pending = await _pending(clickhouse, load_migrations() if migrations is None else migrations)
    for migration in pending:
        await _apply(clickhouse, migration)
    return [migration.number for migration in pending]


async def plan(clickhouse: ClickHouse) -> list[str]:
    """Return the statements that `migrate` would run now, and change nothing. Raises `MigrationError` as it does."""
    try:
        pending = await _pending(clickhouse, load_migrations())
    except ClickHouseUnavailable as error:
        if error.code not in (_NO_TABLE, _NO_DATABASE):
            raise
        pending = load_migrations()
    return [for_cluster(statement, clickhouse.cluster) for each in pending for statement in each.statements]


async def _pending(clickhouse: ClickHouse, known: tuple[Migration, ...]) -> tuple[Migration, ...]:
    rows = await clickhouse.query("SELECT number, name, checksum FROM schema_migrations FINAL ORDER BY number")
    return pending_migrations(known, [AppliedMigration(*row) for row in rows])


async def _apply(clickhouse: ClickHouse, migration: Migration) -> None:
    """The record comes last: after a crash in between the statements run again, which each of them allows."""
    for statement in migration.statements:
        await clickhouse.command(for_cluster(statement, clickhouse.cluster))
    await clickhouse.command(
        "INSERT INTO schema_migrations (number, name, checksum, applied_at_ms) "
        "SELECT {number:UInt32}, {name:String}, {checksum:String}, {applied_at_ms:Int64}",
        {
            "number": migration.number,
            "name": migration.name,
            "checksum": migration.checksum,
            "applied_at_ms": now_ms(),
        },
    )
