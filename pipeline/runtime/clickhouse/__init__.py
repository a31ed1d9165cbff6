"""ClickHouse, as a server or embedded: `client` runs queries and inserts, `errors` says what a failure means for the
caller, `connect` opens connections, `migrate` brings the tables up to date, `chdb_directory` guards the embedded data.
"""

from pipeline.runtime.clickhouse.client import ByteStream, ClickHouse
from pipeline.runtime.clickhouse.errors import (
    ClickHouseBusy,
    ClickHouseError,
    ClickHouseLocked,
    ClickHouseRejected,
    ClickHouseTimeout,
    ClickHouseUnavailable,
)
from pipeline.runtime.clickhouse.migrate import PlannedMigration, lacking_migrations, migrate, migrate_or_look, plan

__all__ = [
    "ByteStream",
    "ClickHouse",
    "ClickHouseBusy",
    "ClickHouseError",
    "ClickHouseLocked",
    "ClickHouseRejected",
    "ClickHouseTimeout",
    "ClickHouseUnavailable",
    "PlannedMigration",
    "lacking_migrations",
    "migrate",
    "migrate_or_look",
    "plan",
]
