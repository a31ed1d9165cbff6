"""Log of changes made in the console: the author, the change, the values before and after it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, insert, select

from pipeline.control.engine import build_engine
from pipeline.control.user_tables import AUDIT_LOG


@dataclass(frozen=True)
class AuditEntry:
    """One change. Secrets never stand in `before` or `after`."""

    at_ms: int
    login: str
    address: str
    action: str
    """Name of the change: `key.create`."""
    target: str
    app_id: str = ""
    """Empty: the change belongs to no app."""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class Writer(Protocol):
    """The part of an engine that writes use."""

    def begin(self) -> AbstractContextManager[Connection]: ...

    def dispose(self) -> None: ...


class AuditedWriter:
    """A writer whose every transaction adds the entry: a change and its entry are there together, or neither is."""

    def __init__(self, engine: Engine, entry: AuditEntry) -> None:
        self._engine = engine
        self._entry = entry

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection
            add_entry(connection, self._entry)

    def dispose(self) -> None:
        self._engine.dispose()


def open_writer(dsn: str, entry: AuditEntry | None, *, creates: bool = True) -> Writer:
    """Open a writer on the database at `dsn` (a SQLAlchemy URL); with an entry, one that logs its change."""
    engine = build_engine(dsn, writes=True, creates=creates)
    return engine if entry is None else AuditedWriter(engine, entry)


def add_entry(connection: Connection, entry: AuditEntry) -> None:
    values = asdict(entry) | {"target": entry.target[:200], "address": entry.address[:64]}
    connection.execute(insert(AUDIT_LOG).values(values))


def read_entries(dsn: str, app_id: str | None = None, limit: int = 100, before_id: int | None = None) -> list[Any]:
    """Read entries, newest first, of one app or of all, as rows with the fields of `AuditEntry` and `entry_id`."""
    query = select(AUDIT_LOG).order_by(AUDIT_LOG.c.entry_id.desc()).limit(limit)
    if app_id is not None:
        query = query.where(AUDIT_LOG.c.app_id == app_id)
    if before_id is not None:
        query = query.where(AUDIT_LOG.c.entry_id < before_id)
    engine = build_engine(dsn, writes=False)
    try:
        with engine.begin() as connection:
            return list(connection.execute(query).mappings())
    finally:
        engine.dispose()


def write_entry(dsn: str, entry: AuditEntry) -> None:
    """Log a change that is made elsewhere than in the control plane's database: an import, an export, a call."""
    writer = open_writer(dsn, entry, creates=False)
    try:
        with writer.begin():
            pass  # the writer adds the entry
    finally:
        writer.dispose()
