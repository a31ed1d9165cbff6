"""The control plane's tables: made, brought up to date, and refused where they are of another time."""

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cryptography.fernet import Fernet
from pydantic import SecretStr

from pipeline.control import ControlPlane, ControlPlaneError, migrate_control_plane, prepare_control_plane
from pipeline.control.engine import build_engine
from pipeline.control.migrate import _require_postgresql, one_runner
from pipeline.control.tables import METADATA
from pipeline.runtime.secret_box import KEY_FILE, SecretBox
from pipeline.runtime.settings import Settings
from schemas.control import App, ClientAddress, Goal, PrivacySettings


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
        thread.join(60)
        assert not thread.is_alive()
    assert failures == []
    store = ControlPlane(dsn)
    store.create_app(App("shop", "Shop"), 1)
    migrate_control_plane(dsn)
    assert [app.app_id for app in store.apps()] == ["shop"]


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


def test_origins_are_kept_and_apps_from_before_there_were_any_allow_all(dsn):
    migrate_control_plane(dsn, "0001")
    with build_engine(dsn, writes=True).begin() as connection:
        columns = "app_id, name, plan, currency, timezone, history_limit_days, attribution, created_at_ms"
        values = "'old', 'Old', 'free', 'CNY', 'UTC', 1, '{}', 1"
        connection.exec_driver_sql(f"INSERT INTO apps ({columns}) VALUES ({values})")
    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    assert store.app("old").allowed_origins == ("*",)
    assert store.app("old").privacy == PrivacySettings((), ClientAddress.WHOLE), "it stores what it stored"
    assert not store.app("old").allows_app_id
    origins = ("https://shop.example", "https://*.shop.example:8443", "http://[::1]:3000", "capacitor://localhost")
    store.update_app(replace(store.app("old"), allowed_origins=origins), 2)
    assert store.app("old").allowed_origins == origins
    store.close()


def test_a_database_from_the_future_is_refused(tmp_path):
    """Alembic does not know its revision: better no start than tables read wrongly."""
    dsn = f"sqlite:///{tmp_path}/control.db"
    migrate_control_plane(dsn)
    with sqlite3.connect(tmp_path / "control.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Exception, match="9999"):
        migrate_control_plane(dsn)


def test_a_signing_key_in_clear_is_encrypted_and_stays_the_same_key(dsn):
    migrate_control_plane(dsn, "0007")
    with build_engine(dsn, writes=True).begin() as connection:
        clear = connection.exec_driver_sql("SELECT secret_hex FROM signing_keys").scalar_one()
    box = SecretBox(Fernet.generate_key().decode())

    def key() -> str:
        return ControlPlane(dsn).snapshot(0).signing_key

    migrate_control_plane(dsn)
    assert key() == clear, "without a key to encrypt with it stays usable"
    migrate_control_plane(dsn, open_box=lambda: box)
    locked = key()
    assert clear not in locked
    assert box.unlock(locked) == clear
    migrate_control_plane(dsn, open_box=lambda: box)
    assert key() == locked
    if dsn.startswith("sqlite"):
        assert clear.encode() not in Path(dsn.removeprefix("sqlite:///")).read_bytes()


def test_a_new_control_plane_never_holds_its_signing_key_in_clear(tmp_path):
    settings = Settings(data_dir=tmp_path)
    prepare_control_plane(settings)
    locked = ControlPlane(settings.control_plane_dsn()).snapshot(0).signing_key
    clear = SecretBox.open(settings, creates=False).unlock(locked)
    assert len(bytes.fromhex(clear)) == 32
    assert clear.encode() not in (tmp_path / "control.db").read_bytes()


def test_a_shared_control_plane_is_encrypted_with_the_key_of_all_or_not_at_all(tmp_path):
    """A key file made on this machine is not on the others."""
    settings = Settings(data_dir=tmp_path, control_plane_url=f"sqlite:///{tmp_path}/shared.db")
    prepare_control_plane(settings)
    clear = ControlPlane(settings.control_plane_dsn()).snapshot(0).signing_key
    assert len(bytes.fromhex(clear)) == 32
    assert not (tmp_path / KEY_FILE).exists()
    given = settings.model_copy(update={"webhook_key": SecretStr(Fernet.generate_key().decode())})
    prepare_control_plane(given)
    locked = ControlPlane(settings.control_plane_dsn()).snapshot(0).signing_key
    assert SecretBox.open(given, creates=False).unlock(locked) == clear


def test_one_migrates_at_a_time_and_the_next_says_what_it_waits_for(dsn):
    told, entered = [], threading.Event()
    waits = threading.Event()

    def say(line: str) -> None:
        told.append(line)
        waits.set()

    def second() -> None:
        with one_runner(dsn, say):
            entered.set()

    thread = threading.Thread(target=second)
    with one_runner(dsn, told.append):
        thread.start()
        assert waits.wait(60)
        assert not entered.is_set()
    thread.join(60)
    assert entered.is_set()
    assert told == ["waiting for another that migrates"]


def test_a_postgresql_that_is_too_old_is_refused():
    with pytest.raises(ControlPlaneError, match=r"PostgreSQL 12\.3 is too old: this release needs 13 or newer"):
        _require_postgresql((12, 3))
    _require_postgresql((13, 0))
