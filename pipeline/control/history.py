"""History of the versions of goals and of attribution settings, with the times they were in force. Rows are only ever
added.
"""

from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, func, insert, select

from pipeline.control.records import record_of, values_of
from pipeline.control.rules import goal_definition
from pipeline.control.tables import CONFIG_VERSIONS, GOAL_VERSIONS
from schemas.control import App, AttributionSettings, Goal


@dataclass(frozen=True)
class GoalChange:
    """`goal` as it became at `changed_at_ms`; as it last was, where the change is `retired`."""

    goal: Goal
    change: str
    """`added`, `updated` or `retired`."""
    changed_at_ms: int


@dataclass(frozen=True)
class ConfigChange:
    """`attribution` as it became at `changed_at_ms`."""

    version: int
    changed_at_ms: int
    attribution: AttributionSettings


def record_goal(connection: Connection, app_id: str, goal: Goal, change: str, now_ms: int) -> None:
    values = {
        "app_id": app_id,
        "name": goal.name,
        "version": goal.version,
        "changed_at_ms": now_ms,
        "change": change,
        "definition": goal_definition(goal),
    }
    connection.execute(insert(GOAL_VERSIONS).values(values))


def last_goal_version(connection: Connection, app_id: str, name: str) -> int:
    """0 if there never was a goal of this name."""
    is_it = (GOAL_VERSIONS.c.app_id == app_id) & (GOAL_VERSIONS.c.name == name)
    found: int | None = connection.execute(select(func.max(GOAL_VERSIONS.c.version)).where(is_it)).scalar()
    return found or 0


def read_goal_changes(connection: Connection, app_id: str) -> list[GoalChange]:
    order = (GOAL_VERSIONS.c.changed_at_ms, GOAL_VERSIONS.c.name, GOAL_VERSIONS.c.version)
    query = select(GOAL_VERSIONS).where(GOAL_VERSIONS.c.app_id == app_id).order_by(*order)
    return [
        GoalChange(record_of(Goal, {**row, **row["definition"]}), row["change"], row["changed_at_ms"])
        for row in connection.execute(query).mappings()
    ]


def read_retired_goals(connection: Connection) -> dict[str, dict[str, Goal]]:
    """App id → name → the goal as it was when it was last retired. It may have been added again since."""
    versions = GOAL_VERSIONS.c
    query = select(GOAL_VERSIONS).where(versions.change == "retired").order_by(versions.version)
    found: dict[str, dict[str, Goal]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["app_id"], {})[row["name"]] = record_of(Goal, {**row, **row["definition"]})
    return found


def record_config(connection: Connection, app: App, now_ms: int) -> None:
    values = {
        "app_id": app.app_id,
        "version": app.config_version,
        "changed_at_ms": now_ms,
        "attribution": values_of(app.attribution),
    }
    connection.execute(insert(CONFIG_VERSIONS).values(values))


def read_config_versions(connection: Connection) -> dict[tuple[str, int], AttributionSettings]:
    """(app id, version) → settings."""
    return {
        (row["app_id"], row["version"]): msgspec.convert(row["attribution"], AttributionSettings)
        for row in connection.execute(select(CONFIG_VERSIONS)).mappings()
    }


def read_config_changes(connection: Connection, app_id: str, limit: int) -> list[ConfigChange]:
    """Return the newest versions of an app's attribution settings, newest first."""
    versions = CONFIG_VERSIONS.c
    query = select(CONFIG_VERSIONS).where(versions.app_id == app_id).order_by(versions.version.desc()).limit(limit)
    return [
        ConfigChange(row["version"], row["changed_at_ms"], msgspec.convert(row["attribution"], AttributionSettings))
        for row in connection.execute(query).mappings()
    ]
