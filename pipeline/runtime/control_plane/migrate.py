"""Makes and upgrades the tables: Alembic, driven from code, its scripts packaged beside this module."""

from pathlib import Path
from typing import Final

from sqlalchemy import Engine, make_url, text

from pipeline.runtime.control_plane.engine import build_engine

_SCRIPTS: Final = Path(__file__).with_name("migrations")
_SCRIPT_LOCATION: Final = str(_SCRIPTS).replace("%", "%%")
_LOCK_ID: Final = 0x41545452


def migrate_control_plane(dsn: str, revision: str = "head") -> None:
    """Bring the database at `dsn` to `revision`, in one transaction. Any number of processes may do so at once."""
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
                connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            config = Config()
            config.set_main_option("script_location", _SCRIPT_LOCATION)
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()


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
