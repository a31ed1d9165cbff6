"""The statements of migrations for a cluster: replicas of one shard, or several shards of replicas. Pure.

The files are written for one server. On a cluster each statement is sent once and runs on all servers (`ON CLUSTER`),
tables are replicated, and they deduplicate blocks by the log that their replicas share. With shards, `events_local` on
each server holds the rows of its shard, and `events`, a `Distributed` table, is all of them: what is written there goes
to the shard that its sharding key names. Views fill local tables from local tables. A few small tables stand whole on
every server (`WHOLE`).

Paths and names of replicas come from the servers' macros `{shard}` and `{replica}`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.clickhouse import MigrationError

LOCAL_SUFFIX: Final = "_local"

SHARDING_KEYS: Final[Mapping[str, str]] = {
    "events": "sipHash64(event_id)",
    "event_marks": "sipHash64(event_id)",
    "sessions": "sipHash64(person_key)",
    "sessions_by_person": "sipHash64(person_key)",
    "narrow_sessions": "person_hash",
    "touches": "sipHash64(touch_id)",
    "narrow_touches": "touch_hash",
    "conversions": "sipHash64(conversion_id)",
    "attributions": "sipHash64(conversion_id)",
    "attribution_revisions": "sipHash64(conversion_id)",
    "rejected": "sipHash64(reject_id)",
    "gateway_counts": "sipHash64(gateway_id, minute_ms)",
    "alert_windows": "sipHash64(rule_id, window_start_ms)",
    "alerts": "sipHash64(alert_id)",
    "person_links": "sipHash64(anonymous_id)",
    "webhook_attempts": "sipHash64(delivery_id)",
    "costs": "sipHash64(date)",
    "spend": "sipHash64(date)",
}
"""Sharding key by table. It never changes for a fact, so that all revisions of it meet on one shard, where they replace
each other; and a view finds the row that it makes on the shard of the row that it is made of (a mark takes back an
event, a session is one of a person: its id is made of the person's key). A conversion's person may change, so
conversions go by their id."""

WHOLE: Final = frozenset({"schema_migrations", "table_copies", "progress", "loaded_offsets"})
"""Tables of a few rows each, that stand whole on every server of a cluster."""

_REPLICA: Final = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
_WHOLE_REPLICA: Final = "'/clickhouse/tables/whole/{database}/{table}', '{shard}-{replica}'"
_WINDOW: Final = "replicated_deduplication_window"
_ENGINE: Final = re.compile(r"\bENGINE = ReplacingMergeTree(?:\(([^)]*)\))?")
_SOURCE: Final = re.compile(r"\b(FROM|TO) (\w+)\b")
_TABLE: Final = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\b")
_VIEW: Final = re.compile(r"CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+)\b")
_ALTER: Final = re.compile(r"ALTER TABLE (\w+)\b")
_INSERT: Final = re.compile(r"INSERT INTO (\w+)\b")
_COLUMN: Final = re.compile(r" (?:ADD|MODIFY|DROP) COLUMN\b")
_OF_A_VIEW: Final = re.compile(r"\s+MODIFY QUERY\b")
_CODEC: Final = re.compile(r" CODEC\((?:[^()]|\([^()]*\))*\)")


@dataclass(frozen=True)
class Cluster:
    name: str
    """Name in the servers' configuration (`remote_servers`)."""
    database: str
    is_sharded: bool = False

    @property
    def on(self) -> str:
        return f" ON CLUSTER '{self.name}'"

    def stored(self, table: str) -> str:
        """Return the name of the table that holds a server's own rows."""
        has_local = self.is_sharded and table not in WHOLE
        return f"{self.database}.{table}{LOCAL_SUFFIX if has_local else ''}"


def for_cluster(statement: str, cluster: Cluster | None) -> tuple[str, ...]:
    """Return the statements that do on the cluster what `statement` does on one server; without a cluster, itself.

    Raises `MigrationError` for a kind of statement that is not known here, and for a table without a sharding key.
    """
    if cluster is None:
        return (statement,)
    if found := _TABLE.match(statement):
        return _create_table(statement, found, cluster)
    if found := _VIEW.match(statement):
        view = _with_stored_sources(statement[found.end() :], cluster)
        return (f"CREATE MATERIALIZED VIEW IF NOT EXISTS {cluster.database}.{found[1]}{cluster.on}{view}",)
    if found := _ALTER.match(statement):
        return _alter(found[1], statement[found.end() :], cluster)
    if found := _INSERT.match(statement):
        return (_insert(found[1], statement[found.end() :], cluster),)
    raise MigrationError(f"not to be run on a cluster: {statement[:60]!r}")


def _create_table(statement: str, found: re.Match[str], cluster: Cluster) -> tuple[str, ...]:
    table, stored = found[1], cluster.stored(found[1])
    written = statement[found.end() :].replace(f"non_{_WINDOW}", _WINDOW)
    definition, engines = _ENGINE.subn(lambda engine: _replicated(engine, table), written)
    if engines != 1:
        raise MigrationError(f"not an engine for a cluster: {statement[:60]!r}")
    made = f"CREATE TABLE IF NOT EXISTS {stored}{cluster.on}{_with_window(definition)}"
    if not cluster.is_sharded or table in WHOLE:
        return (made,)
    if table not in SHARDING_KEYS:
        raise MigrationError(f"table {table} has no sharding key (schemas.clickhouse.cluster.SHARDING_KEYS)")
    shards = f"Distributed('{cluster.name}', '{cluster.database}', '{table}{LOCAL_SUFFIX}', {SHARDING_KEYS[table]})"
    of_all = f"CREATE TABLE IF NOT EXISTS {cluster.database}.{table}{cluster.on} AS {stored}"
    return made, f"{of_all}\nENGINE = {shards}"


def _replicated(engine: re.Match[str], table: str) -> str:
    arguments = f", {engine[1]}" if engine[1] else ""
    return f"ENGINE = ReplicatedReplacingMergeTree({_WHOLE_REPLICA if table in WHOLE else _REPLICA}{arguments})"


def _alter(table: str, change: str, cluster: Cluster) -> tuple[str, ...]:
    """A view has one name on each server; columns are those of the `Distributed` table too."""
    if _OF_A_VIEW.match(change):
        return (f"ALTER TABLE {cluster.database}.{table}{cluster.on}{_with_stored_sources(change, cluster)}",)
    stored = cluster.stored(table)
    on_all = change.replace(f"non_{_WINDOW}", _WINDOW).replace("mutations_sync = 1", "mutations_sync = 2")
    changes = [f"ALTER TABLE {stored}{cluster.on}{on_all}"]
    if stored.endswith(LOCAL_SUFFIX) and _COLUMN.match(change):
        changes.append(f"ALTER TABLE {cluster.database}.{table}{cluster.on}{_CODEC.sub('', change)}")
    return tuple(changes)


def _insert(table: str, rest: str, cluster: Cluster) -> str:
    """It runs once: what one replica has, the others fetch, and a `Distributed` table sends rows to their shards."""
    sources = _SOURCE.sub(lambda found: f"{found[1]} {cluster.database}.{found[2]}", rest)
    return f"INSERT INTO {cluster.database}.{table}{sources}"


def _with_stored_sources(text: str, cluster: Cluster) -> str:
    return _SOURCE.sub(lambda found: f"{found[1]} {cluster.stored(found[2])}", text)


def _with_window(definition: str) -> str:
    """Say that a table deduplicates no blocks where its file does not say that it does: replicated tables do it
    unless told otherwise, and a view over a table must see a repeated block again.
    """
    if _WINDOW in definition:
        return definition
    head, settings, rest = definition.partition("\nSETTINGS ")
    return f"{head}\nSETTINGS {_WINDOW} = 0{', ' if settings else ''}{rest}"
