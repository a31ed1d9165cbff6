"""`world`: a console over a control plane of its own, without a query service: pages that read say that it is away.
`console`, `mia`, `admin`: one with the query service and a broker behind it, shared by all; a user of its app and an
admin, in browsers.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from app_servers import AppServers
from console_reads import console_with_reads, fill
from console_world import ADMIN, USER, ConsoleWorld, Visitor, make_console

from deploy.local.broker import NoidaBroker
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.settings import Settings


@pytest.fixture
def world(make_settings: Callable[..., Settings], free_port: Callable[[], int]) -> Iterator[ConsoleWorld]:
    servers = AppServers()
    servers.start()
    settings = make_settings(query_url=f"http://127.0.0.1:{free_port()}", operator_token="op")
    yield make_console(settings, servers)
    servers.stop()


@pytest.fixture(scope="session")
def console_and_tables(
    tmp_path_factory: pytest.TempPathFactory, clickhouse_dir: Path, free_port: Callable[[], int]
) -> Iterator[tuple[ConsoleWorld, ClickHouse]]:
    folder = tmp_path_factory.mktemp("console")
    broker = NoidaBroker(folder / "broker", folder / "broker.log")
    broker.start()
    given = {"kafka_bootstrap": broker.bootstrap, "webhook_allowed_networks": "127.0.0.1"}
    with console_with_reads(folder, clickhouse_dir, free_port, **given) as (world, tables):
        asyncio.run(fill(tables))
        yield world, tables
    broker.kill()


@pytest.fixture(scope="session")
def console(console_and_tables: tuple[ConsoleWorld, ClickHouse]) -> ConsoleWorld:
    return console_and_tables[0]


@pytest.fixture(scope="session")
def tables(console_and_tables: tuple[ConsoleWorld, ClickHouse]) -> ClickHouse:
    return console_and_tables[1]


@pytest.fixture(scope="session")
def mia(console: ConsoleWorld) -> Visitor:
    """A user who was given the app."""
    return console.visitor(USER)


@pytest.fixture(scope="session")
def admin(console: ConsoleWorld) -> Visitor:
    """An admin, logged in once: a login may be tried a few times a minute."""
    return console.visitor(ADMIN)
