"""A console over a control plane of its own, without a query service: pages that read say that it is away."""

from collections.abc import Callable, Iterator

import pytest
from app_servers import AppServers
from console_world import ConsoleWorld, make_console

from pipeline.runtime.settings import Settings


@pytest.fixture
def world(make_settings: Callable[..., Settings], free_port: Callable[[], int]) -> Iterator[ConsoleWorld]:
    servers = AppServers()
    servers.start()
    settings = make_settings(query_url=f"http://127.0.0.1:{free_port()}", operator_token="op")
    yield make_console(settings, servers)
    servers.stop()
