"""Connections to ClickHouse, over HTTP or in this process, and how each takes a block of rows."""

import re
from collections.abc import Callable
from importlib.resources import files
from itertools import count
from pathlib import Path
from secrets import randbelow
from tempfile import NamedTemporaryFile
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError as DriverError

from pipeline.runtime.clickhouse.errors import ClickHouseRejected, is_unreachable
from pipeline.runtime.connection_settings import ClickHouseSettings
from pipeline.runtime.setting_checks import url_of_each_host

IDENTIFIER: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\Z")
_ENGINE_OPTIONS: Final = {"config-file": str(files("pipeline.runtime.clickhouse") / "chdb.xml")}
_OF_REPLICAS: Final[dict[str, Any]] = {
    # Acknowledged by most replicas, one block of a table after another; a replica that lacks one answers nothing.
    "insert_quorum": "auto",
    "insert_quorum_parallel": 0,
    "select_sequential_consistency": 1,
    "alter_sync": 2,  # the next statement may meet another replica
}
_OF_SHARDS: Final[dict[str, Any]] = {
    # A subquery is answered by all shards, and what it found is sent to each: what it is compared with lies anywhere.
    "distributed_product_mode": "global",
    "distributed_foreground_insert": 1,  # acknowledged when the shards have it
    "optimize_skip_unused_shards": 1,  # a fact that is asked for by its sharding key is asked of its shard
    "skip_unavailable_shards": 0,  # no answer rather than a part of it
}
QUERY_TIMEOUT_SECONDS: Final = 30.0
INSERT_TIMEOUT_SECONDS: Final = 60.0


def database_name(name: str) -> str:
    if not IDENTIFIER.match(name):
        raise ClickHouseRejected(f"not a database name: {name!r}")
    return name


def cluster_settings(cluster: str, is_sharded: bool) -> dict[str, Any]:
    """Return the ClickHouse settings of every statement that is sent to a cluster (pure)."""
    if not cluster:
        return {}
    return _OF_REPLICAS | _OF_SHARDS if is_sharded else _OF_REPLICAS


class HttpConnector:
    """Connects to the hosts of the settings' URL in turn, and passes over those that cannot be reached."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._urls = url_of_each_host(settings.clickhouse_url.get_secret_value())
        self._tls: dict[str, Any] = {
            "ca_cert": settings.clickhouse_ca_path or None,
            "client_cert": settings.clickhouse_certificate_path or None,
            "client_cert_key": settings.clickhouse_key_path or None,
        }
        self._settings = cluster_settings(settings.clickhouse_cluster, settings.clickhouse_sharded)
        self._turn = count(randbelow(len(self._urls)))  # processes that start together begin at different hosts

    def __call__(self, database: str | None) -> Client:
        """Return a new client. Raises the driver's errors, those of the last host if none can be reached."""
        for _ in range(len(self._urls) - 1):
            try:
                return self._connect(self._next(), database)
            except DriverError as error:
                if not is_unreachable(error):
                    raise
        return self._connect(self._next(), database)

    def _next(self) -> str:
        return self._urls[next(self._turn) % len(self._urls)]

    def _connect(self, url: str, database: str | None) -> Client:
        parts = urlsplit(url)
        # With a password beside it, a certificate only opens the connection; alone, it is the login.
        tls_mode = "strict" if parts.password and self._tls["client_cert"] else None
        return clickhouse_connect.get_client(
            interface=parts.scheme,
            host=parts.hostname,
            port=parts.port or (8443 if parts.scheme == "https" else 8123),
            username=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            database=database or "default",
            settings={"max_execution_time": QUERY_TIMEOUT_SECONDS} | self._settings,
            connect_timeout=5,
            send_receive_timeout=int(INSERT_TIMEOUT_SECONDS),
            autogenerate_session_id=False,
            compress=False,
            tz_mode="aware",
            tls_mode=tls_mode,
            **(self._tls if parts.scheme == "https" else {}),
        )


def insert_over_http(client: Client, table: str, data: bytes, settings: dict[str, Any]) -> None:
    client.raw_insert(table, insert_block=data, settings=settings, fmt="JSONEachRow")


def insert_from_file(spool: Path, client: Client, table: str, data: bytes, settings: dict[str, Any]) -> None:
    """chDB reads from a file. The driver's `raw_insert` would put it into the system's temporary folder, where a kill
    leaves people's events lying about; this one is swept with the next start."""
    with NamedTemporaryFile(dir=spool, suffix=".ndjson") as file:
        file.write(data)
        file.flush()
        values = ", ".join(f"{key} = {_quoted(value)}" for key, value in settings.items())
        client.command(f"INSERT INTO {table} FROM INFILE {_quoted(file.name)} SETTINGS {values} FORMAT JSONEachRow")


def _quoted(value: object) -> str:
    """Quote a text as an SQL string: settings and file names cannot be bound."""
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def chdb_connector(directory: Path) -> Callable[[str | None], Client]:
    def connect(database: str | None) -> Client:
        return clickhouse_connect.get_client(
            interface="chdb",
            path=str(directory),
            database=database,
            settings={"max_execution_time": QUERY_TIMEOUT_SECONDS},
            tz_mode="aware",
            chdb_options=_ENGINE_OPTIONS,
        )

    return connect
