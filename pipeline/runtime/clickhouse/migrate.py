"""Bring a database to the tables of this release."""

from pipeline.runtime.clickhouse.client import ClickHouse
from pipeline.runtime.clock import now_ms
from schemas.clickhouse import (
    MIGRATIONS_TABLE,
    AppliedMigration,
    Migration,
    load_migrations,
    pending_migrations,
)


async def migrate(clickhouse: ClickHouse, migrations: tuple[Migration, ...] | None = None) -> list[int]:
    """Bring the database to this release; returns the numbers applied now. Several processes may do it at once.

    Raises `schemas.clickhouse.MigrationError` if an applied migration differs from its file.
    """
    await clickhouse.create_database()
    await clickhouse.command(MIGRATIONS_TABLE)
    rows = await clickhouse.query("SELECT number, name, checksum FROM schema_migrations FINAL ORDER BY number")
    known = load_migrations() if migrations is None else migrations
    pending = pending_migrations(known, [AppliedMigration(*row) for row in rows])
    for migration in pending:
        await _apply(clickhouse, migration)
    return [migration.number for migration in pending]


async def _apply(clickhouse: ClickHouse, migration: Migration) -> None:
    """The record comes last: after a crash in between the statements run again, which each of them allows."""
    for statement in migration.statements:
        await clickhouse.command(statement)
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
