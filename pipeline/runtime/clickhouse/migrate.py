"""Bring a database to the tables of this release, on one server or on a cluster."""

from dataclasses import dataclass
from typing import Final

from pipeline.runtime.clickhouse.client import ClickHouse
from pipeline.runtime.clickhouse.errors import ClickHouseUnavailable
from pipeline.runtime.clickhouse.versions import check_version
from pipeline.runtime.clock import now_ms
from schemas.clickhouse import (
    MIGRATIONS_TABLE,
    AppliedMigration,
    Migration,
    load_migrations,
    pending_migrations,
)
from schemas.clickhouse.cluster import for_cluster

_NO_TABLE: Final = 60
_NO_DATABASE: Final = 81


@dataclass(frozen=True)
class PlannedMigration:
    """A migration, and the statements that would run: none if it is applied."""

    number: int
    name: str
    statements: tuple[str, ...]


async def migrate(clickhouse: ClickHouse, migrations: tuple[Migration, ...] | None = None) -> list[int]:
    """Bring the database to this release; returns the numbers applied now.

    One caller at a time: of a server under `pipeline.control.migrate.one_runner`; embedded tables are one process's.
    Raises `schemas.clickhouse.MigrationError` if an applied migration differs from its file, and where the server is
    older than this release can do with.
    """
    await check_version(clickhouse)
    await clickhouse.create_database()
    for statement in for_cluster(MIGRATIONS_TABLE.strip(), clickhouse.cluster):
        await clickhouse.command(statement)
    known = load_migrations() if migrations is None else migrations
    pending = pending_migrations(known, await _applied(clickhouse))
    for migration in pending:
        await _apply(clickhouse, migration)
    return [migration.number for migration in pending]


async def migrate_or_look(clickhouse: ClickHouse) -> None:
    """Migrate embedded tables; of a server look, and raise `ClickHouseUnavailable` while a migration is missing.

    A server's are made by one process at a time, `attrikit migrate`, under a lock of the control plane's database. A
    process that does not know that database, as the loader, cannot take the lock.
    """
    if clickhouse.is_embedded:
        await migrate(clickhouse)
        return
    await check_version(clickhouse)
    if missing := await lacking_migrations(clickhouse):
        raise ClickHouseUnavailable(f"migrations {', '.join(missing)} are missing: run `attrikit migrate`")


async def lacking_migrations(clickhouse: ClickHouse) -> list[str]:
    """Return the migrations of this release that are not applied, by number. Those of a newer release may be there too:
    two releases run side by side. Raises `schemas.clickhouse.MigrationError` if an applied one differs from its file.
    """
    known = load_migrations()
    numbers = {migration.number for migration in known}
    applied = [row for row in await _applied(clickhouse) if row.number in numbers]
    return [f"{migration.number:04}" for migration in pending_migrations(known, applied)]


async def plan(clickhouse: ClickHouse) -> list[PlannedMigration]:
    """Return all migrations of this release with what `migrate` would run of each. Changes nothing. Raises as it
    does."""
    await check_version(clickhouse)
    known = load_migrations()
    pending = set(pending_migrations(known, await _applied(clickhouse)))
    return [
        PlannedMigration(each.number, each.name, _statements(each, clickhouse) if each in pending else ())
        for each in known
    ]


async def _applied(clickhouse: ClickHouse) -> list[AppliedMigration]:
    """Return what is applied: nothing where there are no tables yet."""
    try:
        rows = await clickhouse.query("SELECT number, name, checksum FROM schema_migrations FINAL ORDER BY number")
    except ClickHouseUnavailable as error:
        if error.code in (_NO_TABLE, _NO_DATABASE):
            return []
        raise
    return [AppliedMigration(*row) for row in rows]


def _statements(migration: Migration, clickhouse: ClickHouse) -> tuple[str, ...]:
    return tuple(made for each in migration.statements for made in for_cluster(each, clickhouse.cluster))


async def _apply(clickhouse: ClickHouse, migration: Migration) -> None:
    """The record comes last: after a crash in between the statements run again, which each of them allows."""
    for statement in _statements(migration, clickhouse):
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
