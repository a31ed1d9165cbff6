"""Segment's own SDKs, in Python and for Node.js, report through the door made for them."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import generated_clients
import msgspec
import pytest
from segment.analytics.client import Client
from served_api import WRITE_KEY, ServedApi
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.runtime.settings import Settings
from schemas.events import AcceptedEvent
from schemas.facts import RejectedRow
from schemas.topics import Topic
from services.gateway.sink import MemorySink

pytestmark = pytest.mark.timeout(300)


@dataclass
class Faulty:
    """A layer around a gateway that answers a request with each status of `statuses` before it lets one through."""

    statuses: list[int] = field(default_factory=list)
    answered: Counter[int] = field(default_factory=Counter)

    def around(self, app: ASGIApp) -> ASGIApp:
        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and self.statuses:
                status = self.statuses.pop(0)
                self.answered[status] += 1
                headers = {"Retry-After": "1"} if status == 429 else {}
                await JSONResponse({}, status, headers)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return call


@dataclass
class Door:
    """A gateway and what it has taken."""

    url: str
    sink: MemorySink
    faulty: Faulty

    def events(self) -> dict[str, AcceptedEvent]:
        events = [msgspec.json.decode(line, type=AcceptedEvent) for line in self.sink.lines(Topic.EVENTS)]
        names = {event.event_name: event for event in events}
        assert len(names) == len(events), "each once"
        return names

    def rejects(self) -> list[RejectedRow]:
        return [msgspec.json.decode(line, type=RejectedRow) for line in self.sink.lines(Topic.REJECTED)]


@pytest.fixture
def door(served: ServedApi, tmp_path: Path) -> Door:
    sink, faulty = MemorySink(), Faulty()
    _, url = served.serve_gateway(Settings(data_dir=tmp_path), sink, faulty.around)
    return Door(url, sink, faulty)


@pytest.fixture
def python_client(door: Door) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(errors: list[Any], **options: Any) -> Client:
        client = Client(
            WRITE_KEY, host=door.url + "/segment", on_error=lambda error, _: errors.append(error), **options
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.shutdown()


def send_all(client: Client) -> None:
    client.identify("py-user", {"plan": "pro"}, anonymous_id="py-visitor")
    client.page("py-user", "Docs", "Home", {"url": "https://shop.example/?utm_source=x"})
    client.track("py-user", "Order Completed", {"revenue": 19.9, "order_id": "o-1"}, {"ip": "203.0.113.9"})
    client.track("undefined", "Refused")
    client.track("py-user", "Not A Number", {"x": float("nan")})
    client.alias("py-before", "py-user")
    client.group("py-user", "g-1", {"size": 3})
    client.screen("py-user", "Cart", "Checkout")
    client.flush()


def check_taken(door: Door, person: str, before: str) -> None:
    events = door.events()
    names = {"identify", "page_view", "order_completed", "alias", "group", "screen_view"}
    assert events.keys() == names
    order = events["order_completed"]
    assert json.loads(bytes(order.properties))["segment"]["event"] == "Order Completed"
    assert (order.user_id, json.loads(bytes(order.properties))["revenue"]) == (person, 19.9)
    assert (events["alias"].user_id, events["alias"].anonymous_id) == (person, before)
    assert events["page_view"].page_url == "https://shop.example/?utm_source=x"
    links = [json.loads(line) for line in door.sink.lines(Topic.PEOPLE)]
    assert {(link["user_id"], link["anonymous_id"]) for link in links} >= {(person, before)}


def test_the_python_sdk(door: Door, python_client: Callable[..., Client]) -> None:
    errors: list[Any] = []
    send_all(python_client(errors, gzip=True))
    check_taken(door, "py-user", "py-before")
    assert door.events()["order_completed"].ip == "203.0.113.0", "shortened, as for any event"
    assert sorted(row.field.partition("]")[2] for row in door.rejects()) == ["", ".user_id"]
    assert errors == []


def test_the_python_sdk_sends_again_after_503_and_429(door: Door, python_client: Callable[..., Client]) -> None:
    door.faulty.statuses = [503, 429]
    errors: list[Any] = []
    send_all(python_client(errors))
    check_taken(door, "py-user", "py-before")
    assert (door.faulty.statuses, door.faulty.answered) == ([], {503: 1, 429: 1})
    assert errors == []


def test_the_python_sdk_sends_nothing_again_that_is_wrong(door: Door) -> None:
    errors: list[Any] = []
    client = Client("nobody", host=door.url + "/segment", on_error=lambda error, _: errors.append(error))
    client.track("py-user", "a")
    client.flush()
    client.shutdown()
    (error,) = errors
    assert (error.status, error.code) == (401, "INVALID_API_KEY")
    assert "there is no such key" in error.message or "没有这个 Key" in error.message


def test_the_node_sdk_and_its_retries(door: Door, tmp_path: Path) -> None:
    door.faulty.statuses = [503]
    try:
        failed = generated_clients.run_segment(tmp_path, door.url, WRITE_KEY)
    except generated_clients.Unreachable as reason:
        pytest.skip(str(reason))
    assert failed == []
    check_taken(door, "node-user", "node-before")
    assert [row.field.partition("]")[2] for row in door.rejects()] == [".user_id"]
    assert door.faulty.answered == {503: 1}
