"""Migrations as they run on a cluster of replicas; that ClickHouse can read them is in tests/integration/runtime."""

import re

import pytest

from schemas.clickhouse import MIGRATIONS_TABLE, MigrationError, load_migrations
from schemas.clickhouse.replicas import for_cluster

STATEMENTS = [MIGRATIONS_TABLE.strip(), *(s for migration in load_migrations() for s in migration.statements)]


def test_a_table_is_replicated_with_the_deduplication_it_has_on_one_server() -> None:
    given = "CREATE TABLE IF NOT EXISTS t (a Int64)\nENGINE = ReplacingMergeTree(a)\nORDER BY a"
    head = "CREATE TABLE IF NOT EXISTS t ON CLUSTER 'main' (a Int64)\n"
    engine = "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', a)\n"
    assert for_cluster(given, "main") == f"{head}{engine}ORDER BY a\nSETTINGS replicated_deduplication_window = 0"
    windowed = given + "\nSETTINGS index_granularity = 256, non_replicated_deduplication_window = 1000"
    assert for_cluster(windowed, "main") == (
        f"{head}{engine}ORDER BY a\nSETTINGS index_granularity = 256, replicated_deduplication_window = 1000"
    )
    granular = given + "\nSETTINGS index_granularity = 256"
    assert for_cluster(granular, "main").endswith(
        "\nSETTINGS replicated_deduplication_window = 0, index_granularity = 256"
    )


def test_a_view_and_a_change_run_on_every_replica_and_rows_are_inserted_once() -> None:
    assert for_cluster("ALTER TABLE t ADD COLUMN a Int64", "c") == "ALTER TABLE t ON CLUSTER 'c' ADD COLUMN a Int64"
    view = for_cluster("CREATE MATERIALIZED VIEW IF NOT EXISTS v TO t AS SELECT 1", "c")
    assert view == "CREATE MATERIALIZED VIEW IF NOT EXISTS v ON CLUSTER 'c' TO t AS SELECT 1"
    assert for_cluster("INSERT INTO t SELECT 1", "c") == "INSERT INTO t SELECT 1"


def test_a_statement_of_another_kind_is_refused() -> None:
    with pytest.raises(MigrationError, match="not to be run on a cluster"):
        for_cluster("OPTIMIZE TABLE t FINAL", "c")


@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_statement_of_every_migration_is_for_a_cluster(statement: str) -> None:
    made = for_cluster(statement, "main")
    assert "non_replicated" not in made
    assert not re.search(r"ENGINE = (?!ReplicatedReplacingMergeTree\()", made)
    assert made.startswith("INSERT INTO ") or " ON CLUSTER 'main'" in made
    assert "ENGINE" not in made or "replicated_deduplication_window = " in made
