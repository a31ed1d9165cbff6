"""All rows of the control plane as JSON lines: the same for SQLite and PostgreSQL, and from one to the other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import JSON, Connection, MetaData, Table, func, inspect, make_url, select, text

from deploy.backup.manifest import BackupError
from pipeline.control.engine import build_engine
from pipeline.control.migrate import known_and_applied, migrate_control_plane, prepare_control_plane
from pipeline.runtime.connection_settings import SecretBoxSettings

_REVISION_TABLE: Final = "alembic_version"
_MADE_BY_MIGRATIONS: Final = {_REVISION_TABLE, "signing_keys"}


def rows_of(dsn: str) -> Iterator[bytes]:
    """Yield the lines of the dump, of one moment: first the revision of the tables, then each row with its table."""
    engine = build_engine(dsn, writes=False)
    try:
        _, revision = known_and_applied(engine)
        if revision is None:
            raise BackupError("the control plane has no tables yet: attrikit migrate")
        yield _line({"revision": revision})
        with engine.begin() as connection:
            for table in _tables(connection):
                for row in connection.execute(select(table)).mappings():
                    yield _line({"table": str(table.name), "row": {str(name): value for name, value in row.items()}})
    finally:
        engine.dispose()


def what_is_there(dsn: str) -> str:
    """Return the name of a table that holds rows of an installation; empty if there is none."""
    url = make_url(dsn)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return ""
    engine = build_engine(dsn, writes=False)
    try:
        with engine.begin() as connection:
            for name in sorted(set(inspect(connection).get_table_names()) - _MADE_BY_MIGRATIONS):
                if connection.execute(select(text("1")).select_from(text(name)).limit(1)).first():
                    return name
        return ""
    finally:
        engine.dispose()


def load(settings: SecretBoxSettings, lines: Iterator[bytes]) -> None:
    """Fill an empty control plane from a dump, and bring it to this release."""
    head = msgspec.json.decode(next(lines))
    migrate_control_plane(settings.control_plane_dsn(), head["revision"])
    engine = build_engine(settings.control_plane_dsn(), writes=True)
    try:
        with engine.begin() as connection:
            tables = _tables(connection)
            for table in reversed(tables):
                connection.execute(table.delete())
            by_name = {table.name: table for table in tables}
            for line in lines:
                found = msgspec.json.decode(line)
                connection.execute(by_name[found["table"]].insert().values(found["row"]))
            _count_on(connection, tables)
    finally:
        engine.dispose()
    prepare_control_plane(settings)


def _tables(connection: Connection) -> list[Table]:
    """Return the tables as the database has them, whatever its revision; what others refer to comes first."""
    metadata = MetaData()
    metadata.reflect(connection)
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type.none_as_null = True
    return [table for table in metadata.sorted_tables if table.name != _REVISION_TABLE]


def _count_on(connection: Connection, tables: list[Table]) -> None:
    """Let PostgreSQL's sequences go on after the rows that were brought back; SQLite counts by what is there."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        column = table.autoincrement_column
        if column is not None:
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            highest = select(func.coalesce(func.max(column), 0) + 1).scalar_subquery()
            connection.execute(select(func.setval(sequence, highest, False)))


def _line(value: Any) -> bytes:
    return msgspec.json.encode(value) + b"\n"
