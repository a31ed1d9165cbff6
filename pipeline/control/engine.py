"""Open the database: readers never create a file, writers take the write lock first."""

from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.pool import NullPool

_WAIT_SECONDS: Final = 5


def build_engine(dsn: str, *, writes: bool, creates: bool = True) -> Engine:
    """An engine for `dsn` (SQLite or PostgreSQL). `creates`: whether a writer makes a SQLite file that is missing.

    Connections are opened per use: there are few uses, and a database that comes back is found at once.
    """
    url = make_url(dsn)
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, writes, creates)
    isolation = "READ COMMITTED" if writes else "REPEATABLE READ"
    arguments = {"connect_timeout": _WAIT_SECONDS, "options": f"-c statement_timeout={_WAIT_SECONDS}s"}
    return create_engine(url, poolclass=NullPool, isolation_level=isolation, connect_args=arguments)


def _sqlite_engine(url: URL, writes: bool, creates: bool) -> Engine:
    mode = "rwc" if writes and creates else "rw"
    if url.database and url.database != ":memory:":
        url = url.set(database="file:" + quote(url.database), query={"mode": mode, "uri": "true"})
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _WAIT_SECONDS})
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # The driver's own transaction handling commits before DDL; we say BEGIN ourselves, so DDL is transactional.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        # What is replaced or deleted (a key in clear, say) is overwritten in the file.
        connection.execute("PRAGMA secure_delete = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine
