"""Writes to the control plane, and the lists people see. Every method is one transaction."""

import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from pipeline.control.alerts import load_rules
from pipeline.control.apps import app_row
from pipeline.control.audit import AuditEntry, open_writer
from pipeline.control.engine import build_engine
from pipeline.control.errors import AlreadyExists, InvalidRecord, UnknownRecord
from pipeline.control.history import (
    ConfigChange,
    GoalChange,
    last_goal_version,
    read_config_changes,
    read_config_versions,
    read_goal_changes,
    read_retired_goals,
    record_config,
    record_goal,
)
from pipeline.control.records import record_of
from pipeline.control.rules import (
    MAX_GOALS,
    SECRET_BITS,
    app_from_row,
    app_values,
    check_app,
    check_goal,
    format_secret,
    goal_definition,
    goal_values,
    key_from_row,
    secret_hash,
    shown_prefix,
)
from pipeline.control.tables import API_KEYS, APPS, GOALS, SIGNING_KEYS
from pipeline.control.webhooks import load_webhooks
from schemas.control import DEFAULT_GOALS, ApiKey, App, Goal, Scope, Snapshot

_SIGNING_KEY: Final = select(SIGNING_KEYS.c.secret).where(SIGNING_KEYS.c.name == "query")


@dataclass(frozen=True)
class KeyRecord:
    """A key as a list shows it: recognisable, useless to a thief."""

    key_id: str
    app_id: str
    prefix: str
    scopes: frozenset[Scope]
    is_test: bool
    created_at_ms: int
    revoked_at_ms: int | None
    last_used_at_ms: int | None
    """Last use, to about a minute, and only as far as the processes that saw it could write it down."""


@dataclass(frozen=True)
class NewKey:
    """`secret` is the whole key. It stands here and nowhere else, once."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        return f"NewKey(key_id={self.key_id!r}, secret='…')"


class ControlPlane:
    """Apps, goals and keys in the database at `dsn` (a SQLAlchemy URL). Blocking."""

    def __init__(self, dsn: str, audit: AuditEntry | None = None) -> None:
        """`audit`: an entry that each write adds to the log of changes."""
        self._writer = open_writer(dsn, audit)
        self._reader = build_engine(dsn, writes=False)
        self._updater = build_engine(dsn, writes=True, creates=False)

    def close(self) -> None:
        self._writer.dispose()
        self._updater.dispose()
        self._reader.dispose()

    def create_app(self, app: App, now_ms: int) -> App:
        """Store a new app. Without goals of its own it starts with `DEFAULT_GOALS`."""
        app = replace(app, goals=app.goals or DEFAULT_GOALS, config_version=1)
        check_app(app)
        with self._writer.begin() as connection:
            with _taken("app %(id)r exists already", id=app.app_id):
                connection.execute(insert(APPS).values(app_values(app) | {"created_at_ms": now_ms}))
            record_config(connection, app, now_ms)
            for position, goal in enumerate(app.goals):
                _insert_goal(connection, app.app_id, goal, position, now_ms)
            return _load_app(connection, app.app_id)

    def update_app(self, app: App, now_ms: int) -> App:
        """Replace everything of an app but its id and goals. Other attribution settings are a new version of them."""
        check_app(app)
        with self._writer.begin() as connection:
            known = _load_app(connection, app.app_id)
            app = replace(app, config_version=known.config_version)
            if app.attribution != known.attribution:
                app = replace(app, config_version=known.config_version + 1)
                record_config(connection, app, now_ms)
            connection.execute(update(APPS).where(APPS.c.app_id == app.app_id).values(app_values(app)))
            return _load_app(connection, app.app_id)

    def add_goal(self, app_id: str, goal: Goal, now_ms: int) -> Goal:
        """Append a goal to an app. Its name can never change afterwards, and its versions go on where they ended if
        there was one of this name before."""
        check_goal(goal)
        with self._writer.begin() as connection:
            goals = _load_app(connection, app_id).goals
            if any(known.name == goal.name for known in goals):
                raise AlreadyExists("app %(app)r has a goal %(goal)r already", app=app_id, goal=goal.name)
            if len(goals) >= MAX_GOALS:
                raise InvalidRecord(
                    "app %(app)r has %(most)s goals, which is the most there can be", app=app_id, most=MAX_GOALS
                )
            return _insert_goal(connection, app_id, goal, _next_position(connection, app_id), now_ms)

    def update_goal(self, app_id: str, goal: Goal, now_ms: int) -> Goal:
        """Replace everything of a goal but its name: a new version, unless nothing is different."""
        check_goal(goal)
        with self._writer.begin() as connection:
            known = _find_goal(connection, app_id, goal.name)
            goal = replace(goal, version=known.version)
            if goal == known:
                return known
            goal = replace(goal, version=known.version + 1)
            values = goal_definition(goal) | {"version": goal.version}
            connection.execute(update(GOALS).where(_is_goal(app_id, goal.name)).values(values))
            record_goal(connection, app_id, goal, "updated", now_ms)
            return goal

    def retire_goal(self, app_id: str, name: str, now_ms: int) -> None:
        """Retire a goal: no event counts as it from now on. Conversions already counted stay, and so does its
        history.
        """
        with self._writer.begin() as connection:
            known = _find_goal(connection, app_id, name)
            connection.execute(delete(GOALS).where(_is_goal(app_id, name)))
            record_goal(connection, app_id, replace(known, version=known.version + 1), "retired", now_ms)

    def goal_changes(self, app_id: str) -> list[GoalChange]:
        """List every version of every goal the app has or had, oldest first."""
        with self._reader.begin() as connection:
            _load_app(connection, app_id)
            return read_goal_changes(connection, app_id)

    def config_changes(self, app_id: str, limit: int = 50) -> list[ConfigChange]:
        """List the newest versions of the app's attribution settings, newest first."""
        with self._reader.begin() as connection:
            return read_config_changes(connection, app_id, limit)

    def app(self, app_id: str) -> App:
        with self._reader.begin() as connection:
            return _load_app(connection, app_id)

    def apps(self) -> list[App]:
        """List the apps, by app id."""
        with self._reader.begin() as connection:
            return list(_load_apps(connection).values())

    def create_key(self, app_id: str, scopes: Collection[Scope], now_ms: int, *, is_test: bool = False) -> NewKey:
        """Make a key. The secret in the answer exists only there: the database keeps its SHA-256."""
        if not scopes:
            raise InvalidRecord("a key needs at least one scope: write, read")
        new = NewKey("key_" + secrets.token_hex(8), format_secret(secrets.randbits(SECRET_BITS), is_test=is_test))
        with self._writer.begin() as connection:
            _load_app(connection, app_id)
            connection.execute(insert(API_KEYS).values(_key_values(new, app_id, scopes, now_ms, is_test)))
        return new

    def add_key(self, new: NewKey, app_id: str, scopes: Collection[Scope], now_ms: int) -> None:
        """Store a key that was made elsewhere. Raises `AlreadyExists`."""
        with _taken("key %(id)r exists already", id=new.key_id), self._writer.begin() as connection:
            _load_app(connection, app_id)
            connection.execute(insert(API_KEYS).values(_key_values(new, app_id, scopes, now_ms, is_test=False)))

    def keys(self, app_id: str | None = None) -> list[KeyRecord]:
        """Oldest first; of one app or of all."""
        query = select(API_KEYS).order_by(API_KEYS.c.created_at_ms, API_KEYS.c.key_id)
        if app_id is not None:
            query = query.where(API_KEYS.c.app_id == app_id)
        with self._reader.begin() as connection:
            if app_id is not None:
                _load_app(connection, app_id)
            return [record_of(KeyRecord, row) for row in connection.execute(query).mappings()]

    def revoke_key(self, key_id: str, now_ms: int) -> None:
        """Revoke a key: from the next refresh of every process on, it is refused. A revoked key stays revoked."""
        with self._writer.begin() as connection:
            query = select(API_KEYS.c.revoked_at_ms).where(API_KEYS.c.key_id == key_id)
            found = connection.execute(query).one_or_none()
            if found is None:
                raise UnknownRecord("there is no key %(id)r", id=key_id)
            if found.revoked_at_ms is None:
                connection.execute(update(API_KEYS).where(API_KEYS.c.key_id == key_id).values(revoked_at_ms=now_ms))

    def record_use(self, used_at_ms: Mapping[str, int]) -> None:
        """Key id → when it was used. Times only ever move forward, whichever process writes last."""
        with self._updater.begin() as connection:
            for key_id, at_ms in sorted(used_at_ms.items()):
                before = or_(API_KEYS.c.last_used_at_ms.is_(None), API_KEYS.c.last_used_at_ms < at_ms)
                query = update(API_KEYS).where(API_KEYS.c.key_id == key_id, before)
                connection.execute(query.values(last_used_at_ms=at_ms))

    def snapshot(self, now_ms: int) -> Snapshot:
        """Everything at one moment, from one transaction."""
        with self._reader.begin() as connection:
            keys = [key_from_row(row) for row in connection.execute(select(API_KEYS)).mappings()]
            apps = _load_apps(connection)
            webhooks = load_webhooks(connection)
            alert_rules = load_rules(connection)
            secret = connection.execute(_SIGNING_KEY).scalar_one_or_none()
            versions = read_config_versions(connection)
        return Snapshot(
            apps=apps,
            keys_by_sha256=_by_hash(keys),
            taken_at_ms=now_ms,
            signing_key=secret or "",
            webhooks=webhooks,
            alert_rules=alert_rules,
            attribution_versions=versions,
        )


def _by_hash(keys: list[ApiKey]) -> dict[str, ApiKey]:
    return {key.secret_sha256: key for key in keys}


def _load_apps(connection: Connection) -> dict[str, App]:
    goals: dict[str, list[Goal]] = {}
    for row in connection.execute(select(GOALS).order_by(GOALS.c.app_id, GOALS.c.position)).mappings():
        goals.setdefault(row["app_id"], []).append(record_of(Goal, row))
    retired = read_retired_goals(connection)
    rows = connection.execute(select(APPS).order_by(APPS.c.app_id)).mappings()
    return {
        row["app_id"]: app_from_row(row, goals.get(row["app_id"], ()), retired.get(row["app_id"], {}).values())
        for row in rows
    }


def _load_app(connection: Connection, app_id: str) -> App:
    row = app_row(connection, app_id)
    query = select(GOALS).where(GOALS.c.app_id == app_id).order_by(GOALS.c.position)
    return app_from_row(row, [record_of(Goal, goal) for goal in connection.execute(query).mappings()])


def _is_goal(app_id: str, name: str) -> ColumnElement[bool]:
    return (GOALS.c.app_id == app_id) & (GOALS.c.name == name)


def _find_goal(connection: Connection, app_id: str, name: str) -> Goal:
    found = next((goal for goal in _load_app(connection, app_id).goals if goal.name == name), None)
    if found is None:
        raise UnknownRecord("app %(app)r has no goal %(goal)r", app=app_id, goal=name)
    return found


def _next_position(connection: Connection, app_id: str) -> int:
    last: int | None = connection.execute(select(func.max(GOALS.c.position)).where(GOALS.c.app_id == app_id)).scalar()
    return 0 if last is None else last + 1


def _insert_goal(connection: Connection, app_id: str, goal: Goal, position: int, now_ms: int) -> Goal:
    goal = replace(goal, version=last_goal_version(connection, app_id, goal.name) + 1)
    connection.execute(insert(GOALS).values(goal_values(app_id, goal, position)))
    record_goal(connection, app_id, goal, "added", now_ms)
    return goal


def _key_values(new: NewKey, app_id: str, scopes: Collection[Scope], now_ms: int, is_test: bool) -> dict[str, Any]:
    return {
        "key_id": new.key_id,
        "app_id": app_id,
        "secret_sha256": secret_hash(new.secret),
        "prefix": shown_prefix(new.secret),
        "scopes": sorted(scope.value for scope in scopes),
        "is_test": is_test,
        "created_at_ms": now_ms,
        "revoked_at_ms": None,
    }


@contextmanager
def _taken(template: str, **values: object) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise AlreadyExists(template, **values) from error
