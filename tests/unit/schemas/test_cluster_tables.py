"""Migrations as they run on a cluster. ClickHouse takes them in tests/integration/query/test_shards.py."""

import re

import pytest

from schemas.clickhouse import MIGRATIONS_TABLE, MigrationError, load_migrations
from schemas.clickhouse.cluster import LOCAL_SUFFIX, SHARDING_KEYS, WHOLE, Cluster, for_cluster

STATEMENTS = [MIGRATIONS_TABLE.strip(), *(s for migration in load_migrations() for s in migration.statements)]
REPLICAS, SHARDS = Cluster("main", "d"), Cluster("main", "d", is_sharded=True)
PATH = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
TABLE = "CREATE TABLE IF NOT EXISTS alerts (a Int64)\nENGINE = ReplacingMergeTree(a)\nORDER BY a"
ORDER_BY = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\n.*ORDER BY ([^\n;]+)", re.DOTALL)


def test_without_a_cluster_a_statement_stays_as_it_is() -> None:
    assert for_cluster(TABLE, None) == (TABLE,)


def test_a_table_is_replicated_with_the_deduplication_it_has_on_one_server() -> None:
    head = "CREATE TABLE IF NOT EXISTS d.alerts ON CLUSTER 'main' (a Int64)\n"
    engine = f"ENGINE = ReplicatedReplacingMergeTree({PATH}, a)\n"
    (made,) = for_cluster(TABLE, REPLICAS)
    assert made == f"{head}{engine}ORDER BY a\nSETTINGS replicated_deduplication_window = 0"
    (made,) = for_cluster(
        TABLE + "\nSETTINGS index_granularity = 256, non_replicated_deduplication_window = 9", REPLICAS
    )
    assert made.endswith("ORDER BY a\nSETTINGS index_granularity = 256, replicated_deduplication_window = 9")
    (made,) = for_cluster(TABLE + "\nSETTINGS index_granularity = 256", REPLICAS)
    assert made.endswith("\nSETTINGS replicated_deduplication_window = 0, index_granularity = 256")


def test_with_shards_the_name_stands_for_all_of_them() -> None:
    local, of_all = for_cluster(TABLE, SHARDS)
    assert local.startswith(
        "CREATE TABLE IF NOT EXISTS d.alerts_local ON CLUSTER 'main' (a Int64)\nENGINE = Replicated"
    )
    assert of_all == (
        "CREATE TABLE IF NOT EXISTS d.alerts ON CLUSTER 'main' AS d.alerts_local\n"
        "ENGINE = Distributed('main', 'd', 'alerts_local', sipHash64(alert_id))"
    )


def test_small_tables_stand_whole_on_every_server() -> None:
    (made,) = for_cluster(MIGRATIONS_TABLE.strip(), SHARDS)
    assert made.startswith("CREATE TABLE IF NOT EXISTS d.schema_migrations ON CLUSTER 'main'")
    assert "'/clickhouse/tables/whole/{database}/{table}', '{shard}-{replica}'" in made


def test_a_view_fills_the_tables_of_its_server() -> None:
    view = "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO events AS SELECT a FROM event_marks"
    assert for_cluster(view, REPLICAS) == (
        "CREATE MATERIALIZED VIEW IF NOT EXISTS d.v ON CLUSTER 'main' TO d.events AS SELECT a FROM d.event_marks",
    )
    assert for_cluster(view, SHARDS) == (
        "CREATE MATERIALIZED VIEW IF NOT EXISTS d.v ON CLUSTER 'main' TO d.events_local AS"
        " SELECT a FROM d.event_marks_local",
    )
    assert for_cluster("ALTER TABLE v MODIFY QUERY\nSELECT a FROM sessions", SHARDS) == (
        "ALTER TABLE d.v ON CLUSTER 'main' MODIFY QUERY\nSELECT a FROM d.sessions_local",
    )


def test_a_column_is_one_of_both_tables_and_everything_else_of_the_local_one() -> None:
    assert for_cluster("ALTER TABLE events ADD COLUMN a Int64 CODEC(Delta, ZSTD(1))", SHARDS) == (
        "ALTER TABLE d.events_local ON CLUSTER 'main' ADD COLUMN a Int64 CODEC(Delta, ZSTD(1))",
        "ALTER TABLE d.events ON CLUSTER 'main' ADD COLUMN a Int64",
    )
    for change in ("MATERIALIZE COLUMN a", "MODIFY SETTING b = 1", "ADD INDEX c a TYPE minmax", "DROP INDEX c"):
        expected = (f"ALTER TABLE d.events_local ON CLUSTER 'main' {change}",)
        assert for_cluster(f"ALTER TABLE events {change}", SHARDS) == expected


def test_rows_are_inserted_once() -> None:
    given = "INSERT INTO spend (a) SELECT a FROM costs"
    assert for_cluster(given, SHARDS) == ("INSERT INTO d.spend (a) SELECT a FROM d.costs",)


def test_a_statement_of_another_kind_is_refused_and_so_is_a_table_without_a_sharding_key() -> None:
    with pytest.raises(MigrationError, match="not to be run on a cluster"):
        for_cluster("OPTIMIZE TABLE t FINAL", SHARDS)
    with pytest.raises(MigrationError, match="not an engine for a cluster"):
        for_cluster("CREATE TABLE IF NOT EXISTS t (a Int64) ENGINE = Memory", REPLICAS)
    with pytest.raises(MigrationError, match="no sharding key"):
        for_cluster(TABLE.replace("alerts", "others"), SHARDS)


@pytest.mark.parametrize("cluster", [REPLICAS, SHARDS], ids=["replicas", "shards"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_statement_of_every_migration_is_for_a_cluster(statement: str, cluster: Cluster) -> None:
    made = for_cluster(statement, cluster)
    assert made
    for each in made:
        assert "non_replicated" not in each
        assert not re.search(r"ENGINE = (?!ReplicatedReplacingMergeTree\(|Distributed\()", each)
        assert each.startswith("INSERT INTO d.") or " ON CLUSTER 'main'" in each
        assert "ENGINE = Repl" not in each or "replicated_deduplication_window = " in each


def test_the_sharding_key_is_of_what_never_changes_about_a_fact() -> None:
    """Of the columns by which rows replace each other. A session's id is made of its person's key."""
    tables = {found[1]: found[2] for statement in STATEMENTS if (found := ORDER_BY.match(statement))}
    assert tables.keys() == SHARDING_KEYS.keys() | WHOLE - {"table_copies"}
    tables["sessions"] += ", person_key"
    tables["narrow_sessions"] += ", person_hash"
    for table, key in SHARDING_KEYS.items():
        columns = re.findall(r"\b[a-z_]+\b(?!\()", key.replace("sipHash64", ""))
        assert columns, table
        assert set(columns) <= set(re.findall(r"\w+", tables[table])), table
        assert not table.endswith(LOCAL_SUFFIX)
