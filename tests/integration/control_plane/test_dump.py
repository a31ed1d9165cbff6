"""The control plane as a backup keeps it: rows of SQLite brought back into SQLite and PostgreSQL, and read again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from deploy.backup.control_plane import load, rows_of, what_is_there
from deploy.backup.manifest import BackupError
from pipeline.control import ControlPlane, prepare_control_plane
from pipeline.control.audit import AuditEntry
from pipeline.runtime.settings import Settings
from schemas.control import App, Scope

BY_HAND = AuditEntry(1, "admin", "127.0.0.1", "app.create", "shop")


def test_rows_are_the_same_afterwards_and_new_ones_follow(
    dsn: str, tmp_path: Path, make_settings: Callable[..., Settings]
) -> None:
    key = Fernet.generate_key().decode()
    before, after = (
        make_settings(control_plane_url=url, webhook_key=key) for url in (f"sqlite:///{tmp_path}/before.db", dsn)
    )
    prepare_control_plane(before)
    store = ControlPlane(before.control_plane_dsn(), BY_HAND)
    store.create_app(App("shop", "店"), 1)
    store.create_key("shop", list(Scope), 2)
    lines = list(rows_of(before.control_plane_dsn()))

    assert what_is_there(dsn) == ""
    load(after, iter(lines))
    assert sorted(rows_of(dsn)) == sorted(lines)
    assert what_is_there(dsn) != ""
    brought_back = ControlPlane(dsn, BY_HAND)
    assert brought_back.snapshot(3) == store.snapshot(3)
    brought_back.create_app(App("other", "Other"), 4)
    assert len([line for line in rows_of(dsn) if b'"table":"audit_log"' in line]) == 3


def test_a_control_plane_without_tables_is_told(postgres: str) -> None:
    with pytest.raises(BackupError, match="attrikit migrate"):
        list(rows_of(postgres))
