"""A control plane in PostgreSQL over TLS: the settings of its URL are libpq's."""

import pytest
from certificates import Authority
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from pipeline.control.engine import build_engine


def asked(dsn: str, sql: str) -> object:
    engine = build_engine(dsn, writes=False)
    try:
        with engine.connect() as connection:
            return connection.execute(text(sql)).scalar()
    finally:
        engine.dispose()


def test_the_server_is_verified_and_the_connection_encrypted(postgres: str, postgres_authority: Authority) -> None:
    dsn = f"{postgres}?sslmode=verify-full&sslrootcert={postgres_authority.ca}"
    assert asked(dsn, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") is True
    assert asked(postgres + "?sslmode=disable", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") is False


def test_a_server_of_another_authority_is_refused(postgres: str, tmp_path) -> None:
    stranger = Authority(tmp_path, "another authority")
    with pytest.raises(OperationalError, match="certificate verify failed"):
        asked(f"{postgres}?sslmode=verify-full&sslrootcert={stranger.ca}", "SELECT 1")
