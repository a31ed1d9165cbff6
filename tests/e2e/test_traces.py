"""Traces as an operator meets them: one POST, and its steps from the gateway to the rows and the webhook; what happens
while the collector is away; and that nothing of it is there where it is off.

Spans come from several processes in any order, so a test waits for what must be among them.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from secrets import token_hex
from typing import Any

import httpx
import pytest
from aiokafka import TopicPartition
from trace_collector import Collector, running_collector
from typer.testing import CliRunner
from webhook_receiver import Receiver, running_receiver

from deploy.cli.main import app
from deploy.demo.product import Product
from pipeline.runtime.kafka.clients import build_consumer, started
from pipeline.runtime.kafka.read_range import read_range, whole_range
from pipeline.runtime.settings import Settings
from schemas.topics import Topic

TOKEN = "a-token-for-the-metrics-of-the-traced-product"
PERSON = "a-person-whom-no-span-names"
PAGE = "https://shop.example/?utm_source=baidu&utm_medium=cpc&utm_campaign=brand"
FROM_POST_TO_ROW = {
    *("POST /v1/events/batch", "publish events", "apply events", "flush group"),
    *("insert events", "insert touches", "insert conversions", "insert attributions", "webhook attempt"),
}
numbers = count()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as made:
        yield made


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Product]:
    """A product that begins no trace by itself, and goes on with those it is given."""
    settings = {
        "ATTRIKIT_TRACES_ENDPOINT": collector.url,
        "ATTRIKIT_TRACES_SAMPLE_RATIO": "0",
        "ATTRIKIT_METRICS_TOKEN": TOKEN,
        "ATTRIKIT_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1",
    }
    running = Product(tmp_path_factory.mktemp("traced"), settings=settings)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def client(traced: Product) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {traced.key}"}
    with httpx.Client(base_url=traced.base_url, headers=headers, timeout=30.0, trust_env=False) as made:
        yield made


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as made:
        yield made


def buy(client: httpx.Client, traceparent: str = "") -> str:
    """Report a new person's visit and purchase; returns the id of the purchase."""
    number = next(numbers)
    person, event_id = f"{PERSON}-{number}", f"bought-{number}"
    events = [
        {"event_name": "page_view", "user_id": person, "properties": {"page_url": PAGE}},
        {"event_name": "purchase", "user_id": person, "event_id": event_id, "properties": {"revenue": 19.99}},
    ]
    headers = {"traceparent": traceparent} if traceparent else {}
    assert client.post("/v1/events/batch", json={"events": events}, headers=headers).status_code == 201
    return event_id


def new_trace(flags: str = "01") -> tuple[bytes, bytes, str]:
    """Ids of a trace and of the caller's span in it, and the header that says so."""
    trace, span = token_hex(16), token_hex(8)
    return bytes.fromhex(trace), bytes.fromhex(span), f"00-{trace}-{span}-{flags}"


def headers_of(settings: Settings, topic: Topic) -> list[Any]:
    """Headers of all records of a topic."""

    async def read() -> list[Any]:
        async with started(build_consumer(settings)) as consumer:
            places = [TopicPartition(topic.value, number) for number in range(settings.partitions)]
            batches = read_range(consumer, await whole_range(consumer, places), stall_seconds=30.0)
            return [record.headers async for _, records in batches for record in records]

    return asyncio.run(read())


@pytest.mark.timeout(300)
def test_one_post_is_one_trace_from_the_gateway_to_its_rows_and_its_webhook(
    traced: Product,
    client: httpx.Client,
    collector: Collector,
    receiver: Receiver,
    eventually: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"DATA_DIR": str(traced.data_dir), "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1"}.items():
        monkeypatch.setenv(f"ATTRIKIT_{name}", value)
    added = CliRunner().invoke(
        app, ["webhooks", "add", "--app", "demo", receiver.url + "/shop", "--event", "conversion.created"]
    )
    assert added.exit_code == 0, added.output
    eventually(lambda: buy(client) and receiver.calls["/shop"])  # the dispatcher knows it within seconds

    trace, caller, header = new_trace()
    event_id = buy(client, header)
    collector.wait_for(trace, FROM_POST_TO_ROW)

    spans = {span.id: span for span in collector.of_trace(trace)}
    for span in spans.values():
        way = [span.name]
        while span.parent != caller:
            span = spans[span.parent]
            way.append(span.name)
        assert way[-1] == "POST /v1/events/batch", way
    named = {span.name: span for span in spans.values()}
    assert spans[named["insert conversions"].parent].name == "flush group"
    assert spans[named["webhook attempt"].parent].name == "flush group"
    assert spans[named["insert events"].parent].name == "publish events"
    assert spans[named["flush group"].parent].name == "publish events"
    services = {name: span.service for name, span in named.items()}
    assert services["publish events"] == "attrikit-gateway"
    assert services["flush group"] == "attrikit-worker"
    assert services["insert conversions"] == "attrikit-store"
    assert services["webhook attempt"] == "attrikit-webhooks"
    post = named["POST /v1/events/batch"]
    assert post.attributes["attrikit.app_id"] == "demo"
    assert post.attributes["http.response.status_code"] == 201
    assert named["apply events"].attributes["attrikit.events"] == 2
    said = repr(list(spans.values()))
    assert not any(secret in said for secret in (PERSON, event_id, "utm_", traced.key, receiver.url))
    assert collector.paths == {"/v1/traces"}


def test_a_login_is_traced_to_the_journey_that_it_hands_over(
    client: httpx.Client, collector: Collector, eventually: Callable[..., Any]
) -> None:
    visitor, user = "a-visitor-before-the-login", "a-user-after-the-login"
    visit = {"event_name": "page_view", "anonymous_id": visitor, "properties": {"page_url": PAGE}}
    before, _, header = new_trace()
    assert client.post("/v1/events/track", json=visit, headers={"traceparent": header}).status_code == 201
    collector.wait_for(before, {"flush group"})  # a login that overtakes the visit finds no journey to hand over
    trace, _, header = new_trace()
    login = {"event_name": "login", "anonymous_id": visitor, "user_id": user}
    assert client.post("/v1/events/track", json=login, headers={"traceparent": header}).status_code == 201
    collector.wait_for(trace, {"publish people", "insert person_links"})

    def handed_over() -> bool:
        """A group of the visitor's partition has sent the journey, and one of the user's has taken it in."""
        spans = collector.of_trace(trace)
        flushes = {span.id for span in spans if span.name == "flush group"}
        return any(span.name == "flush group" and span.parent in flushes for span in spans)

    eventually(handed_over)
    assert not any(person in repr(collector.of_trace(trace)) for person in (visitor, user))


def test_a_read_is_traced_through_the_gateway_to_the_query_service(client: httpx.Client, collector: Collector) -> None:
    trace, caller, header = new_trace()
    answer = client.get(f"/v1/users/{PERSON}-0/journey", headers={"traceparent": header})
    assert answer.status_code == 200
    read = "GET /v1/users/{user_id}/journey"
    collector.wait_for(trace, {"GET other", read})
    named = {span.name: span for span in collector.of_trace(trace)}
    assert named["GET other"].parent == caller
    assert named[read].parent == named["GET other"].id
    assert PERSON not in repr(named)


def test_what_is_not_to_be_recorded_leaves_nothing_in_kafka(
    traced: Product, client: httpx.Client, collector: Collector
) -> None:
    not_recorded, _, header = new_trace("00")
    buy(client, header)
    buy(client)
    recorded, _, header = new_trace()
    buy(client, header)
    collector.wait_for(recorded, {"insert events"})
    found = headers_of(traced.settings, Topic.EVENTS)
    traces = {bytes.fromhex(dict(headers)["traceparent"].decode()[3:35]) for headers in found if headers}
    assert recorded in traces
    assert not_recorded not in traces
    assert sum(not headers for headers in found) >= 2
    assert collector.of_trace(not_recorded) == []


@pytest.mark.timeout(300)
def test_while_the_collector_is_away_everything_goes_on_and_what_is_dropped_is_counted(
    traced: Product, client: httpx.Client, collector: Collector, eventually: Callable[..., Any]
) -> None:
    def dropped() -> float:
        page = httpx.get(
            traced.base_url + "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False
        ).text
        return sum(map(float, re.findall(r"^attrikit_traces_dropped_spans_total\{.*\} (\S+)$", page, re.MULTILINE)))

    before = dropped()
    collector.go()
    lost, _, header = new_trace()
    event_id = buy(client, header)
    eventually(lambda: client.get(f"/v1/events/{event_id}").status_code == 200)
    eventually(lambda: dropped() > before)
    eventually(lambda: "spans_dropped" in (traced.data_dir / "logs" / "gateway.log").read_text())
    collector.come()
    found, _, header = new_trace()
    buy(client, header)
    collector.wait_for(found, {"POST /v1/events/batch", "flush group", "insert events"})
    # Other processes may have been between two attempts; the gateway's spans are those that were counted.
    assert not {"POST /v1/events/batch", "publish events"} <= collector.names(lost)


def test_where_traces_are_off_records_have_no_headers_whatever_the_caller_sends(
    product: Product, api: httpx.Client, eventually: Callable[..., Any]
) -> None:
    _, _, header = new_trace()
    buy(api, header)
    for topic in (Topic.EVENTS, Topic.CONVERSIONS):
        found = eventually(partial(headers_of, product.settings, topic))
        assert not any(found), topic
