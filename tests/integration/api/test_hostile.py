"""Senders who want to stop others, on raw sockets, and a well-behaved app beside them."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from threading import Thread
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Response
from fuzzing import resident_bytes
from hostile_clients import KINDS, Hostile, connect, get, post, status_of, wordy_batch
from odd_requests import MEGABYTE
from served_api import EMPTY_KEY, READ_KEY, WRITE_KEY, ServedApi

from pipeline.runtime.clickhouse import ClickHouseUnavailable
from pipeline.runtime.settings import Settings
from services.gateway.app import protocol
from services.gateway.sink import MemorySink
from services.query.core import reader
from services.web.budget import Budget
from services.web.client_disconnect import EndWithCaller

Gateway = tuple[str, int, Budget]


@pytest.fixture(scope="module")
def gateway(served: ServedApi) -> Gateway:
    """One that may hold 16 MiB."""
    settings = Settings(query_url=served.query_url, max_in_flight_bytes=16 * MEGABYTE)
    publisher, url = served.serve_gateway(settings, MemorySink())
    return "127.0.0.1", int(url.rpartition(":")[2]), publisher.budget


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def track(stack: ExitStack, gateway: Gateway, key: str, source: str) -> int:
    """The status an event is answered with."""
    event = b'{"event_name":"page_view"}'
    connection = connect(stack, gateway[:2], source)
    connection.sendall(post("/v1/events/track", key, len(event)) + event)
    return status_of(connection)


def withhold(connection: socket.socket, budget: Budget, length: int) -> None:
    """Send a batch without its last byte; returns when the rest is held, or refused because there is no room."""
    before = budget.used_bytes
    connection.settimeout(0.2)
    with suppress(OSError):  # it is not read to its end where it is refused
        connection.sendall(post("/v1/events/batch", WRITE_KEY, length) + b"x" * (length - 1))
    wait_until(lambda: budget.used_bytes >= before + length - 1 or select.select([connection], [], [], 0)[0] != [])


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_bodies_without_a_key_take_nothing_of_the_budget(gateway: Gateway, opened: ExitStack) -> None:
    for path in ("/nothing", "/v1/exports", "/v1/nothing") * 7:
        connection = connect(opened, gateway[:2])
        connection.sendall(post(path, "", MEGABYTE) + b"x" * (MEGABYTE - 1))
        assert status_of(connection) in (401, 404)
    assert gateway[2].used_bytes == 0
    assert track(opened, gateway, WRITE_KEY, "127.0.0.1") == 201


@pytest.mark.parametrize("key", [EMPTY_KEY, WRITE_KEY], ids=["another app", "the same app"])
def test_one_client_that_withholds_bodies_leaves_room_for_others(gateway: Gateway, opened: ExitStack, key: str) -> None:
    for length in (MEGABYTE, MEGABYTE // 16, 4096, 256, 16):
        for _ in range(18):
            withhold(connect(opened, gateway[:2]), gateway[2], length)
    assert track(opened, gateway, key, "127.0.0.1") == 201
    opened.close()
    wait_until(lambda: gateway[2].used_bytes == 0)


def test_long_texts_are_not_remembered(gateway: Gateway, opened: ExitStack) -> None:
    """What is remembered adds 90 MB each time; what else this process does may add something once."""
    connection = connect(opened, gateway[:2])
    _validate_wordy(connection, 1)
    growth = []
    for _ in range(3):
        before = resident_bytes()
        _validate_wordy(connection, 25)
        growth.append(resident_bytes() - before)
        if growth[-1] < 48 * MEGABYTE:
            break
    assert min(growth) < 48 * MEGABYTE


def _validate_wordy(connection: socket.socket, times: int) -> None:
    for _ in range(times):
        body = wordy_batch()
        connection.sendall(post("/v1/events/validate", WRITE_KEY, len(body)) + body)
        assert status_of(connection) == 200


SLOW_SQL = "SELECT sum(sleepEachRow(0.2)) AS slow_query FROM numbers(1000) SETTINGS max_block_size = 1"
RUNNING_SQL = (
    "SELECT count() FROM system.processes WHERE query LIKE '%AS slow_query FROM%' AND query NOT LIKE '%system%'"
)


def read(stack: ExitStack, gateway: Gateway, path: str) -> int:
    connection = connect(stack, gateway[:2], "127.0.0.1")
    connection.sendall(get(path, READ_KEY))
    return status_of(connection)


def has_ended(connection: socket.socket) -> bool:
    """Whether the other side has closed it; what it sent before is thrown away."""
    connection.settimeout(20)
    try:
        while connection.recv(1 << 20):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def test_answers_nobody_reads_delay_no_read_and_are_given_up(
    served: ServedApi, gateway: Gateway, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The query service is served in this process too: on a busy machine its gateway may read late.
    monkeypatch.setattr("services.web.server.STALL_SECONDS", 6.0)
    deaf = [connect(opened, gateway[:2]) for _ in range(110)]
    for connection in deaf:
        connection.sendall(get("/docs/assets/swagger-ui-bundle.js") * 8)
    with ExitStack() as reading:
        assert [read(reading, gateway, "/v1/events?limit=1") for _ in range(5)] == [200] * 5
    # Looked at from the server: who reads what is left of an answer is no longer deaf, and is served.
    wait_until(lambda: served.open_connections(f"http://{gateway[0]}:{gateway[1]}") == 0)
    assert all(has_ended(connection) for connection in deaf)


def test_one_client_has_a_limited_number_of_connections(served: ServedApi, opened: ExitStack) -> None:
    settings = Settings(max_client_connections=20)
    _, url = served.serve_gateway(settings, MemorySink(), http=protocol(settings))
    place = "127.0.0.1", int(url.rpartition(":")[2]), Budget(0)
    for _ in range(2):
        with ExitStack() as stack:
            clients = [connect(stack, place[:2]) for _ in range(30)]
            for connection in clients:
                with suppress(ConnectionError):
                    connection.sendall(get("/healthz"))
            assert sum(answers(connection) for connection in clients) == 20
            assert track(stack, place, WRITE_KEY, "127.0.0.1") == 201


def answers(connection: socket.socket) -> bool:
    try:
        return status_of(connection) == 200
    except ConnectionError:
        return False


@pytest.mark.parametrize("pipelined", [1, 3])
def test_a_read_nobody_waits_for_ends_with_its_query(served: ServedApi, opened: ExitStack, pipelined: int) -> None:
    """Through gateway and query service down to the engine; the route is the test's own, as a slow one is needed."""
    query = FastAPI()
    query.add_middleware(EndWithCaller)

    @query.get("/v1/slow")
    async def slow() -> Response:
        return Response(await served.clickhouse.query_bytes(SLOW_SQL))

    def running() -> int:
        async def count() -> int:
            rows = await served.clickhouse.query(RUNNING_SQL)
            return int(rows[0][0])

        found: int = served.run(count)
        return found

    _, url = served.serve_gateway(Settings(query_url=served.serve(query)), MemorySink())
    place = "127.0.0.1", int(url.rpartition(":")[2]), Budget(0)
    for _ in range(3):
        connection = connect(opened, place[:2])
        connection.sendall(get("/v1/slow", READ_KEY) * pipelined)
    wait_until(lambda: running() == 3)
    opened.close()
    wait_until(lambda: running() == 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_client_fails_no_request_of_another_app(gateway: Gateway, opened: ExitStack, kind: str) -> None:
    """How much slower they are is measured by `make bench ARGS=hostile`."""
    before = resident_bytes()
    hostile = Thread(target=KINDS[kind], args=(Hostile(gateway[:2], EMPTY_KEY, size=12, hold_seconds=0.2),))
    hostile.start()
    statuses = []
    while hostile.is_alive() or not statuses:
        statuses.append(track(opened, gateway, WRITE_KEY, "127.0.0.1"))
        statuses.append(read(opened, gateway, "/v1/events?limit=10"))
        statuses.append(read(opened, gateway, "/v1/reports/conversion"))
    hostile.join()
    assert set(statuses) == {200, 201}
    assert resident_bytes() - before < 128 * MEGABYTE


@pytest.mark.parametrize("is_over_the_gateway", [False, True])
def test_an_answer_that_breaks_off_is_not_taken_for_whole(
    served: ServedApi, monkeypatch: pytest.MonkeyPatch, is_over_the_gateway: bool
) -> None:
    """Of a large list the rest is read when its beginning is out; a failure then can only end the connection."""
    read_all = served.clickhouse.read
    reads = 0

    async def read_once(*arguments: Any, **named: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads > 2:  # where the page ends, and its first piece
            raise ClickHouseUnavailable("it went away")
        return await read_all(*arguments, **named)

    monkeypatch.setattr(reader, "CUT_BYTES", 3_000)
    monkeypatch.setattr(reader, "PIECE_BYTES", 500)
    monkeypatch.setattr(served.clickhouse, "read", read_once)
    url = served.url if is_over_the_gateway else served.query_url
    headers = {"Authorization": f"Bearer {READ_KEY}"}
    with httpx.stream("GET", url + "/v1/events?limit=1000", headers=headers, trust_env=False) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
