"""`world`: a console over a control plane of its own, without a query service: pages that read say that it is away.
`console`, `mia`, `admin`: one with the query service and a broker behind it, shared by all; a user of its app and an
admin, in browsers.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from app_servers import AppServers
from console_reads import ENDPOINT, console_with_reads, fill
from console_world import ADMIN, OWN_APP, USER, ConsoleWorld, Visitor, make_console

from deploy.local.broker import NoidaBroker
from pipeline.control.webhooks import WebhookEndpoints
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import now_ms
from pipeline.runtime.secret_box import SecretBox
from pipeline.runtime.settings import Settings
from schemas.webhooks import EventType
from services.webhook_calls.new_endpoint import new_endpoint


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


@pytest.fixture
def endpoint(console: ConsoleWorld) -> Iterator[str]:
    """The webhook endpoint whose deliveries the tables hold."""
    endpoints = WebhookEndpoints(console.settings.control_plane_dsn())
    box = SecretBox.open(console.settings, creates=True)
    made, _ = new_endpoint(OWN_APP, "https://example.com/hook", list(EventType), "", box, now_ms())
    endpoints.add(replace(made, endpoint_id=ENDPOINT), now_ms())
    yield ENDPOINT
    endpoints.remove(ENDPOINT)
