"""The control plane on the real databases: the same promises on SQLite and on PostgreSQL."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select

from deploy.local.process import ChildProcess
from pipeline.runtime.control_plane import (
    AlreadyExists,
    ControlPlane,
    InvalidRecord,
    SnapshotSource,
    UnknownRecord,
    migrate_control_plane,
)
from pipeline.runtime.control_plane.engine import build_engine
from pipeline.runtime.control_plane.rules import secret_hash
from pipeline.runtime.control_plane.tables import CONFIG_VERSIONS, METADATA
from schemas.control import (
    DEFAULT_GOALS,
    App,
    AttributionSettings,
    Counting,
    Goal,
    GoalCondition,
    Operator,
    Plan,
    Scope,
)

BOTH = [Scope.READ, Scope.WRITE]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[str]:
    """The DSN of a server of our own."""
    if not shutil.which("postgres") or not shutil.which("initdb"):
        pytest.skip("no PostgreSQL server on the PATH")
    # It refuses to run as root, so for root it runs as `nobody`, in a folder of theirs.
    as_nobody = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    folder = tmp_path_factory.mktemp("postgres")
    if as_nobody:
        _open_way_to(folder)
        try:
            shutil.chown(folder, **as_nobody)
        except (OSError, LookupError) as error:
            pytest.skip(f"PostgreSQL does not run as root, and root cannot become nobody here: {error}")
    data, port = folder / "data", free_port()
    command = ["initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    made = subprocess.run(command, **as_nobody, cwd=folder, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"initdb failed: {made.stderr.strip().splitlines()[-1:]}")
    options = ["-k", "", "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"]
    server = ["postgres", "-D", str(data), "-p", str(port), *options]
    if as_nobody:
        server = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *server]
    child = ChildProcess("postgres", server, folder.parent / "postgres.log")
    child.start()
    dsn = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    try:
        child.wait_until(lambda: _connects(dsn), 30)
        yield dsn
    finally:
        child.stop(10)


def _open_way_to(folder: Path) -> None:
    """Let another user pass through the folders pytest has made, and no further up."""
    for parent in [folder, *folder.parents]:
        if parent == Path(tempfile.gettempdir()):
            return
        parent.chmod(parent.stat().st_mode | 0o011)


def _connects(dsn: str) -> bool:
    engine = build_engine(dsn, writes=False)
    try:
        with engine.connect():
            return True
    except Exception:
        return False


@pytest.fixture(params=["sqlite", "postgresql"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/a folder, made # when needed/control.db"
        return
    url = request.getfixturevalue("postgres")
    yield url
    engine = build_engine(url, writes=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")


@pytest.fixture
def store(dsn: str) -> Iterator[ControlPlane]:
    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    yield store
    store.close()


def test_the_migrations_make_the_tables_the_code_knows(dsn):
    migrate_control_plane(dsn)
    with build_engine(dsn, writes=True).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_migrating_again_and_from_many_processes_at_once_changes_nothing(dsn):
    failures = []

    def migrate() -> None:
        try:
            migrate_control_plane(dsn)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store = ControlPlane(dsn)
    store.create_app(App("shop", "Shop"), 1)
    migrate_control_plane(dsn)
    assert [app.app_id for app in store.apps()] == ["shop"]


def test_a_new_app_starts_with_the_default_goals_in_their_order(store):
    created = store.create_app(App("shop", "店"), 1)
    assert created == replace(App("shop", "店"), goals=DEFAULT_GOALS)
    assert store.app("shop") == created


def test_an_app_keeps_everything_it_was_given(store):
    goals = (Goal("lead", "线索", "micro", "form_submitted", ()),)
    app = App("shop", "Shop", Plan.PRO, "USD", "UTC", 90, goals, AttributionSettings(half_life_days=3.5))
    store.create_app(app, 1)
    store.add_goal("shop", DEFAULT_GOALS[0], 2)
    assert store.app("shop") == replace(app, goals=(*goals, DEFAULT_GOALS[0]))


def test_an_app_can_be_changed_but_not_its_goals(store):
    store.create_app(App("shop", "Shop"), 1)
    changed = store.update_app(
        App("shop", "Shop 2", Plan.FREE, attribution=AttributionSettings(direct_touch="fallback")), 2
    )
    assert (changed.name, changed.plan, changed.attribution.direct_touch) == ("Shop 2", Plan.FREE, "fallback")
    assert changed.goals == DEFAULT_GOALS


def test_attribution_settings_have_versions_and_other_fields_have_not(store, dsn):
    store.create_app(App("shop", "Shop", config_version=9), 1)
    assert store.app("shop").config_version == 1
    assert store.update_app(App("shop", "Other name"), 2).config_version == 1
    shorter = AttributionSettings(half_life_days=2)
    assert store.update_app(App("shop", "Shop", attribution=shorter), 3).config_version == 2
    assert store.update_app(App("shop", "Shop", attribution=shorter, config_version=7), 4).config_version == 2
    assert store.snapshot(9).apps["shop"].config_version == 2
    with build_engine(dsn, writes=False).connect() as connection:
        rows = connection.execute(select(CONFIG_VERSIONS).order_by(CONFIG_VERSIONS.c.version)).mappings().all()
    assert [(row["version"], row["changed_at_ms"], row["attribution"]["half_life_days"]) for row in rows] == [
        (1, 1, 7.0),
        (2, 3, 2),
    ]


def test_goals_change_by_versions_and_their_history_stays(store):
    goal = Goal(
        "big", "Big", "macro", "purchase", ("amount",),
        (GoalCondition("amount", Operator.GTE, 100), GoalCondition("coupon", Operator.EXISTS)),
        Counting.ONCE_PER_PERSON,
    )  # fmt: skip
    store.create_app(App("shop", "Shop"), 1)
    assert store.add_goal("shop", replace(goal, version=9), 2) == goal
    assert store.app("shop").goals[-1] == goal
    changed = replace(goal, counting=Counting.EVERY, conditions=())
    assert store.update_goal("shop", changed, 3) == replace(changed, version=2)
    assert store.update_goal("shop", changed, 4).version == 2
    assert store.snapshot(4).apps["shop"].goals[-1] == replace(changed, version=2)
    store.retire_goal("shop", "big", 5)
    assert store.app("shop").goals == DEFAULT_GOALS
    assert store.add_goal("shop", goal, 6).version == 4
    history = [change for change in store.goal_changes("shop") if change.goal.name == "big"]
    assert [(change.changed_at_ms, change.change, change.goal) for change in history] == [
        (2, "added", goal),
        (3, "updated", replace(changed, version=2)),
        (5, "retired", replace(changed, version=3)),
        (6, "added", replace(goal, version=4)),
    ]
    assert [change.goal for change in store.goal_changes("shop")[:5]] == sorted(DEFAULT_GOALS, key=lambda g: g.name)


def test_a_goal_after_a_retired_one_still_comes_last(store):
    store.create_app(App("shop", "Shop"), 1)
    store.retire_goal("shop", DEFAULT_GOALS[0].name, 2)
    for name in ("one", "two"):
        store.add_goal("shop", Goal(name, "", "micro", name), 3)
    assert [goal.name for goal in store.app("shop").goals][-2:] == ["one", "two"]


def test_goals_and_settings_from_before_there_were_versions_are_version_one(dsn):
    migrate_control_plane(dsn, "0001")
    engine = build_engine(dsn, writes=True)
    with engine.begin() as connection:
        for sql in (
            "INSERT INTO apps VALUES ('old', 'Old', 'pro', 'CNY', 'UTC', 90, '{\"half_life_days\": 3.0}', 77)",
            "INSERT INTO goals VALUES ('old', 'lead', 'Lead', 'micro', 'form', '[\"amount\"]', 0)",
        ):
            connection.exec_driver_sql(sql)
    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    goal = Goal("lead", "Lead", "micro", "form", ("amount",))
    assert (store.app("old").goals, store.app("old").config_version) == ((goal,), 1)
    assert store.app("old").attribution.half_life_days == 3
    (change,) = store.goal_changes("old")
    assert (change.goal, change.change, change.changed_at_ms) == (goal, "added", 77)
    assert store.update_goal("old", replace(goal, goal_type="macro"), 80).version == 2


def test_ids_are_unique_and_unknown_ones_are_told(store):
    store.create_app(App("shop", "Shop"), 1)
    with pytest.raises(AlreadyExists, match="shop"):
        store.create_app(App("shop", "Other"), 2)
    with pytest.raises(AlreadyExists, match="purchase"):
        store.add_goal("shop", DEFAULT_GOALS[0], 2)
    for call in (
        lambda: store.app("nope"),
        lambda: store.update_app(App("nope", "x"), 2),
        lambda: store.add_goal("nope", DEFAULT_GOALS[0], 2),
        lambda: store.update_goal("nope", DEFAULT_GOALS[0], 2),
        lambda: store.retire_goal("nope", "purchase", 2),
        lambda: store.goal_changes("nope"),
        lambda: store.update_goal("shop", Goal("nope", "", "macro", "x"), 2),
        lambda: store.retire_goal("shop", "nope", 2),
        lambda: store.create_key("nope", BOTH, 1),
        lambda: store.keys("nope"),
        lambda: store.revoke_key("nope", 1),
    ):
        with pytest.raises(UnknownRecord, match="nope"):
            call()
    assert store.app("shop").name == "Shop"


def test_a_refused_app_leaves_nothing_behind(store):
    with pytest.raises(InvalidRecord):
        store.create_app(App("Shop!", "Shop"), 1)
    with pytest.raises(InvalidRecord, match="twice"):
        store.create_app(App("shop", "Shop", goals=(DEFAULT_GOALS[0], DEFAULT_GOALS[0])), 1)
    assert store.apps() == []


def test_a_key_is_found_by_its_hash_and_stands_nowhere_in_the_clear(store, dsn, tmp_path):
    store.create_app(App("shop", "Shop"), 1)
    new = store.create_key("shop", [Scope.WRITE], 5, is_test=True)
    found = store.snapshot(7)
    key = found.keys_by_sha256[secret_hash(new.secret)]
    assert (key.key_id, key.app_id, key.scopes, key.is_revoked) == (new.key_id, "shop", {Scope.WRITE}, False)
    assert found.taken_at_ms == 7
    (record,) = store.keys()
    assert record.is_test
    assert new.secret.startswith(record.prefix)
    random_part = new.secret.removeprefix(record.prefix)
    with build_engine(dsn, writes=False).connect() as connection:
        assert random_part not in str(connection.exec_driver_sql("SELECT * FROM api_keys").all())


def test_a_revoked_key_says_so_and_keeps_the_time_it_was_revoked(store):
    store.create_app(App("shop", "Shop"), 1)
    new, other = store.create_key("shop", BOTH, 5), store.create_key("shop", BOTH, 6)
    store.revoke_key(new.key_id, 10)
    store.revoke_key(new.key_id, 20)
    assert [key.revoked_at_ms for key in store.keys("shop")] == [10, None]
    by_hash = store.snapshot(30).keys_by_sha256
    assert by_hash[secret_hash(new.secret)].is_revoked
    assert not by_hash[secret_hash(other.secret)].is_revoked


def test_the_last_use_of_a_key_only_moves_forward(store):
    store.create_app(App("shop", "Shop"), 1)
    one, other = store.create_key("shop", BOTH, 5), store.create_key("shop", BOTH, 6)
    assert [key.last_used_at_ms for key in list(store.keys())] == [None, None]
    store.record_use({one.key_id: 100, other.key_id: 200, "key_gone": 1})
    store.record_use({one.key_id: 90, other.key_id: 300})
    assert [key.last_used_at_ms for key in list(store.keys())] == [100, 300]


def test_origins_are_kept_and_apps_from_before_there_were_any_allow_all(dsn):
    migrate_control_plane(dsn, "0001")
    with build_engine(dsn, writes=True).begin() as connection:
        columns = "app_id, name, plan, currency, timezone, history_limit_days, attribution, created_at_ms"
        values = "'old', 'Old', 'free', 'CNY', 'UTC', 1, '{}', 1"
        connection.exec_driver_sql(f"INSERT INTO apps ({columns}) VALUES ({values})")
    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    assert store.app("old").allowed_origins == ("*",)
    origins = ("https://shop.example", "https://*.shop.example:8443", "http://[::1]:3000", "capacitor://localhost")
    store.update_app(replace(store.app("old"), allowed_origins=origins), 2)
    assert store.app("old").allowed_origins == origins
    store.close()


async def test_a_source_writes_the_use_of_keys_now_and_then_and_at_its_end(tmp_path):
    dsn = f"sqlite:///{tmp_path}/control.db"
    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    store.create_app(App("shop", "Shop"), 1)
    key_id = store.create_key("shop", BOTH, 1).key_id

    def last_use() -> int | None:
        return store.keys()[0].last_used_at_ms

    source = SnapshotSource(dsn, refresh_seconds=0.02)
    await source.start()
    source.note_use(key_id)
    await _until(lambda: last_use() is not None)
    first = last_use()
    while source._usage.unwritten() == {}:  # until the clock shows another millisecond
        source.note_use(key_id)
    await _until(lambda: source.current().taken_at_ms > (first or 0) + 50)
    assert last_use() == first, "the minute is not over"
    await source.stop()
    assert (last_use() or 0) > (first or 0)


def test_a_key_needs_a_scope(store):
    store.create_app(App("shop", "Shop"), 1)
    with pytest.raises(InvalidRecord, match="scope"):
        store.create_key("shop", [], 1)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def test_a_source_learns_of_new_keys_and_outlives_the_database(tmp_path):
    """The file is moved away and back: what was known stays in force, and the source never makes a file of its own."""
    path, away = tmp_path / "control.db", tmp_path / "away.db"
    dsn = f"sqlite:///{path}"
    source = SnapshotSource(dsn, refresh_seconds=0.02)
    await source.start()
    assert not source.is_loaded
    assert not path.exists()

    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    store.create_app(App("shop", "Shop"), 1)
    first = secret_hash(store.create_key("shop", BOTH, 1).secret)
    await _until(lambda: source.is_loaded and first in source.current().keys_by_sha256)

    path.rename(away)
    await _until(lambda: source._is_away)
    assert first in source.current().keys_by_sha256
    assert not path.exists()

    away.rename(path)
    second = secret_hash(store.create_key("shop", BOTH, 2).secret)
    await _until(lambda: second in source.current().keys_by_sha256)
    await source.stop()


def test_a_reader_never_sees_half_a_transaction(tmp_path):
    """A snapshot taken while apps are being made always has all goals of every app."""
    dsn = f"sqlite:///{tmp_path}/control.db"
    migrate_control_plane(dsn)
    writer, reader = ControlPlane(dsn), ControlPlane(dsn)

    def write() -> None:
        for number in range(30):
            writer.create_app(App(f"app{number}", "x"), number)

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        assert all(app.goals == DEFAULT_GOALS for app in reader.snapshot(0).apps.values())
    thread.join()
    assert len(reader.snapshot(0).apps) == 30


def test_a_database_from_the_future_is_refused(tmp_path):
    """Alembic does not know its revision: better no start than tables read wrongly."""
    dsn = f"sqlite:///{tmp_path}/control.db"
    migrate_control_plane(dsn)
    with sqlite3.connect(tmp_path / "control.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Exception, match="9999"):
        migrate_control_plane(dsn)
