"""Makes and upgrades the tables: Alembic, driven from code, its scripts packaged beside this module."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, make_url, select, text, update

from pipeline.control.engine import build_engine
from pipeline.control.errors import ControlPlaneError
from pipeline.control.tables import SIGNING_KEYS
from pipeline.runtime.connection_settings import SecretBoxSettings
from pipeline.runtime.file_lock import try_lock
from pipeline.runtime.secret_box import SecretBox, is_locked

_SCRIPTS: Final = Path(__file__).with_name("migrations")
_SCRIPT_LOCATION: Final = str(_SCRIPTS).replace("%", "%%")
_LOCK_ID: Final = 0x41545452
_RUNNER_LOCK_ID: Final = 0x41545453
_LOOK_SECONDS: Final = 0.5
_OLDEST_POSTGRESQL: Final = 13


def prepare_control_plane(settings: SecretBoxSettings) -> None:
    """Bring the control plane of this installation up to date, with its secrets encrypted. Raises `SecretBoxError`."""
    migrate_control_plane(settings.control_plane_dsn(), open_box=lambda: SecretBox.for_control_plane(settings))


def migrate_control_plane(
    dsn: str, revision: str = "head", *, open_box: Callable[[], SecretBox | None] = lambda: None
) -> None:
    """Bring the database at `dsn` to `revision`, in one transaction. Any number of processes may do so at once.

    `open_box`: what secrets that are still in clear are encrypted with, in the same transaction. Raises
    `ControlPlaneError` if PostgreSQL is too old.
    """
    # Imported here: it takes half a second, and most processes only read.
    from alembic import command
    from alembic.config import Config

    url = make_url(dsn)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = build_engine(dsn, writes=True)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                _require_postgresql(engine.dialect.server_version_info or ())
                connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            config = Config()
            config.set_main_option("script_location", _SCRIPT_LOCATION)
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            if revision == "head":
                _lock_signing_keys(connection, open_box)
    finally:
        engine.dispose()


@contextmanager
def one_runner(dsn: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of those who migrate: an advisory lock of PostgreSQL, or of a file beside the one of SQLite. Waits
    until it is free, and then says so once; it ends with its holder's connection or process.
    """
    url = make_url(dsn)
    if url.get_backend_name() != "sqlite":
        engine = build_engine(dsn, writes=True)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            wanted = text("SELECT pg_try_advisory_lock(:id)"), {"id": _RUNNER_LOCK_ID}
            _wait_for(lambda: bool(connection.execute(*wanted).scalar()), say)
            yield
        return
    path = Path(f"{url.database}.migrating")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        _wait_for(lambda: try_lock(file.fileno()), say)
        yield


def _wait_for(is_taken: Callable[[], bool], say: Callable[[str], None]) -> None:
    if is_taken():
        return
    say("waiting for another that migrates")
    while not is_taken():
        time.sleep(_LOOK_SECONDS)


def _require_postgresql(version: tuple[int | str, ...]) -> None:
    if version and int(version[0]) < _OLDEST_POSTGRESQL:
        said = ".".join(map(str, version))
        raise ControlPlaneError(
            "PostgreSQL %(version)s is too old: this release needs %(oldest)s or newer",
            version=said,
            oldest=_OLDEST_POSTGRESQL,
        )


def _lock_signing_keys(connection: Connection, open_box: Callable[[], SecretBox | None]) -> None:
    clear = [key for key in connection.execute(select(SIGNING_KEYS)) if not is_locked(key.secret)]
    box = open_box() if clear else None
    if box is None:
        return
    for key in clear:
        is_it = SIGNING_KEYS.c.name == key.name
        connection.execute(update(SIGNING_KEYS).where(is_it).values(secret=box.lock(key.secret)))


def known_and_applied(engine: Engine) -> tuple[list[str], str | None]:
    """The revisions of this release, oldest first, and the one the database is at (None: at none yet)."""
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", _SCRIPT_LOCATION)
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    with engine.connect() as connection:
        return known[::-1], MigrationContext.configure(connection).get_current_revision()
