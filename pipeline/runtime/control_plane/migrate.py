"""Makes and upgrades the tables: Alembic, driven from code, its scripts packaged beside this module."""

from pathlib import Path
from typing import Final

from sqlalchemy import make_url, text

from pipeline.runtime.control_plane.engine import build_engine

_SCRIPTS: Final = Path(__file__).with_name("migrations")
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
            config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()
