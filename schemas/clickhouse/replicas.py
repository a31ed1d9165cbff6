"""The statements of a migration for a cluster of replicas. Pure.

The files are written for one server. On a cluster each statement is sent once and runs everywhere (`ON CLUSTER`);
tables are replicated, and deduplicate blocks by the log their replicas share. Paths and names of replicas come from the
servers' macros `{shard}` and `{replica}`, as ClickHouse's operators set them.
"""

import re
from typing import Final

from schemas.clickhouse import MigrationError

_DEFINES: Final = re.compile(r"^((?:CREATE (?:TABLE|MATERIALIZED VIEW) IF NOT EXISTS|ALTER TABLE) \w+)\b")
_ENGINE: Final = re.compile(r"\bENGINE = ReplacingMergeTree(?:\(([^)]*)\))?")
_REPLICA: Final = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
_WINDOW: Final = "replicated_deduplication_window"


def for_cluster(statement: str, cluster: str) -> str:
    """Return the statement as it runs on every replica of the cluster; empty: on one server, as it is.

    One that inserts stays as it is: what one replica has, the others fetch. Raises `MigrationError` for a kind of
    statement nobody has thought of.
    """
    if not cluster or statement.startswith("INSERT INTO "):
        return statement
    defines = _DEFINES.match(statement)
    if defines is None:
        raise MigrationError(f"not to be run on a cluster: {statement[:60]!r}")
    rest = statement[defines.end() :].replace(f"non_{_WINDOW}", _WINDOW)
    replicated, engines = _ENGINE.subn(_replicated, rest)
    return f"{defines[1]} ON CLUSTER '{cluster}'{_with_window(replicated) if engines else replicated}"


def _replicated(engine: re.Match[str]) -> str:
    arguments = f", {engine[1]}" if engine[1] else ""
    return f"ENGINE = ReplicatedReplacingMergeTree({_REPLICA}{arguments})"


def _with_window(definition: str) -> str:
    """Say that a table deduplicates no blocks where its file does not say that it does: replicated tables do it
    unless told otherwise, and a view over a table must see a repeated block again.
    """
    if _WINDOW in definition:
        return definition
    head, settings, rest = definition.partition("\nSETTINGS ")
    return f"{head}\nSETTINGS {_WINDOW} = 0{', ' if settings else ''}{rest}"
