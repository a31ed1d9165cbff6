"""The stream worker and the store are killed in the middle of the demo's traffic, again and again.

Afterwards the ledger must balance, and every table must hold, row by row and in all columns, what an undisturbed run
over the same `events` topic writes into empty tables. That run is at the same time the replay from the start: other
broker, no state, no committed offsets. (A second run through a gateway would differ in the times of receipt.)
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
import pytest
from installation import Installation
from secured_kafka import SecuredKafka
from tables import Rows, dump_tables
from topic_copy import copy_topic

from deploy.demo.generator import Plan, Truth, generate, truth_of
from deploy.demo.observe import count_topic_lines
from deploy.demo.poster import Parcel, Posted, Poster, parcels
from deploy.local.broker import Broker, NoidaBroker
from schemas.facts import NANOS_PER_CONVERSION, Model
from schemas.topics import Topic

SETTLE_SECONDS = 90.0
SETTINGS = {"idle_seconds": 3_600.0}
"""No time passes but by events, so that two runs see the same sessions closed."""

RESTATED = {"revision", "supersedes", "reason"}

pytestmark = pytest.mark.timeout(400)

StartBroker = Callable[[type[NoidaBroker] | type[SecuredKafka]], dict[str, Any]]
"""Starts one, gives the settings to reach it with."""
LISTENER = "SASL_SSL SCRAM-SHA-512"


@dataclass(frozen=True)
class Scenario:
    """`kills`: of each of the two processes. The broker is never killed. Apache Kafka is reached by TLS and SCRAM."""

    make_broker: type[NoidaBroker] | type[SecuredKafka]
    kills: int
    events: int


SCENARIOS = [
    pytest.param(Scenario(NoidaBroker, kills=10, events=6_000), id="noida"),
    pytest.param(Scenario(SecuredKafka, kills=3, events=2_000), id="kafka", marks=pytest.mark.kafka),
]


@dataclass(frozen=True)
class Outcome:
    tables: dict[str, Rows]
    report: dict[str, Any]


@dataclass(frozen=True)
class Disturbed(Outcome):
    installation: Installation
    scenario: Scenario
    truth: Truth
    posted: Posted
    topic_lines: int
    kills: dict[str, int]


@pytest.fixture(scope="module")
def start_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartBroker]:
    """A broker of one's own, for topics have fixed names."""
    running: list[Broker] = []

    def start(make: type[NoidaBroker] | type[SecuredKafka]) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("broker")
        broker = make(folder / "data", folder / "broker.log")
        running.append(broker)
        broker.start()
        if isinstance(broker, SecuredKafka):
            return broker.settings_of(LISTENER)
        return {"kafka_bootstrap": broker.bootstrap}

    yield start
    for broker in running:
        broker.kill()


@pytest.fixture(scope="module", params=SCENARIOS)
def disturbed(
    request: pytest.FixtureRequest, start_broker: StartBroker, tmp_path_factory: pytest.TempPathFactory
) -> Disturbed:
    scenario: Scenario = request.param
    if scenario.make_broker is SecuredKafka:
        request.getfixturevalue("kafka_jars")
    folder, reach = tmp_path_factory.mktemp("disturbed"), start_broker(scenario.make_broker)
    installation = Installation(folder, **SETTINGS | reach)
    plan = Plan(end_ms=int(time.time() * 1000), events=scenario.events, seed=11, days=10, has_sent_at=False)
    sendings = generate(plan)
    try:
        installation.start("gateway", "worker", "store")
        posted, kills, lines = asyncio.run(_disturb(installation, list(parcels(sendings, seed=11)), scenario.kills))
        report = _report(installation)
    finally:
        installation.stop()
    tables = dump_tables(installation.settings.data_dir)
    return Disturbed(tables, report, installation, scenario, truth_of(sendings), posted, lines, kills)


@pytest.fixture(scope="module")
def undisturbed(disturbed: Disturbed, start_broker: StartBroker, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder, reach = tmp_path_factory.mktemp("undisturbed"), start_broker(NoidaBroker)
    installation = Installation(folder, control_plane_of=disturbed.installation, **SETTINGS | reach)
    source, target = disturbed.installation.settings, installation.settings
    for topic in (Topic.EVENTS, Topic.PEOPLE, Topic.REJECTED):
        assert asyncio.run(copy_topic(topic, source, target)) > 0
    try:
        installation.start("worker", "store")
        asyncio.run(installation.settle(SETTLE_SECONDS))
        report = _report(installation)
    finally:
        installation.stop()
    return Outcome(dump_tables(installation.settings.data_dir), report)


async def _disturb(
    installation: Installation, traffic: list[Parcel], kills_of_each: int
) -> tuple[Posted, dict[str, int], int]:
    """Post the traffic in as many parts as there are kills; in each, both are killed at some moment and restarted."""
    random = Random(5)
    kills = {"worker": 0, "store": 0}
    headers = {"Authorization": f"Bearer {installation.key}"}
    url = installation.urls["gateway"]
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30.0, trust_env=False) as client:
        poster = Poster(client, concurrency=1)
        for part in _parts(traffic, kills_of_each):
            posting = asyncio.create_task(poster.post_all(part))
            events, before = sum(len(parcel.sendings) for parcel in part), poster.posted.sent
            for after, name in sorted((random.uniform(0.1, 0.7), name) for name in kills):
                await _until_sent(poster, before + int(after * events), posting)
                await asyncio.sleep(random.uniform(0, 0.05))  # not to be a moment at which an answer has just come
                installation.kill(name)
                kills[name] += 1
                installation.launch(name)
            await posting
            await asyncio.to_thread(installation.wait_ready, *kills)
    await installation.settle(SETTLE_SECONDS)
    return poster.posted, kills, await count_topic_lines(installation.settings)


def _parts(traffic: list[Parcel], count: int) -> Iterator[list[Parcel]]:
    size = -(-len(traffic) // count)
    for at in range(0, len(traffic), size):
        yield traffic[at : at + size]


async def _until_sent(poster: Poster, count: int, posting: asyncio.Task[Posted]) -> None:
    while poster.posted.sent < count and not posting.done():
        await asyncio.sleep(0.002)


def _report(installation: Installation) -> dict[str, Any]:
    report: dict[str, Any] = installation.get("/v1/reports/performance", dimension="channel", model="all")
    return {name: part for name, part in report.items() if name != "meta"}


def test_both_were_killed_as_often_as_said(disturbed: Disturbed) -> None:
    assert disturbed.kills == dict.fromkeys(("worker", "store"), disturbed.scenario.kills)


def test_the_ledger_balances(disturbed: Disturbed) -> None:
    truth, posted, tables = disturbed.truth, disturbed.posted, disturbed.tables
    marks = [row["mark"] for row in tables["event_marks"]]
    assert posted.surprises == []
    assert posted.retries == 0, "the gateway was never touched"
    assert disturbed.topic_lines == posted.accepted == len(tables["events"]) + marks.count("duplicate")
    assert len(tables["events"]) == truth.stored
    assert marks.count("duplicate") + posted.duplicates == truth.duplicates
    assert marks.count("late") == truth.late
    assert len(tables["rejected"]) == truth.rejected.total()


def test_conversions_are_those_sent_and_credited_in_full(disturbed: Disturbed) -> None:
    truth, tables = disturbed.truth, disturbed.tables
    assert len(tables["conversions"]) == len(tables["attributions"]) == truth.conversions.total()
    assert sum(row["value_minor"] for row in tables["conversions"]) == truth.revenue_minor
    for row in tables["attributions"]:
        for model in Model:
            assert sum(row["credits_nanos"][model]) == NANOS_PER_CONVERSION
            assert sum(row["values_minor"][model]) == row["value_minor"]


def _but_order(tables: dict[str, Rows], table: str) -> Rows:
    """Drop the order of restatements: how often and why facts of people who logged in were restated depends on when the
    login was learned of, which is another log's matter. Of all others every column counts.
    """
    linked = {"u:" + row["user_id"] for row in tables["person_links"]}
    return [_without(RESTATED, row) if row.get("person_key") in linked else row for row in tables[table]]


def _without(names: set[str], row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize(
    "table",
    ["events", "sessions", "touches", "conversions", "attributions", "rejected", "event_marks", "person_links"],
)
def test_every_row_is_that_of_the_undisturbed_replay(disturbed: Disturbed, undisturbed: Outcome, table: str) -> None:
    found, expected = (_but_order(outcome.tables, table) for outcome in (disturbed, undisturbed))
    assert expected
    different = [pair for pair in zip(found, expected, strict=False) if pair[0] != pair[1]]
    assert not different, f"{len(different)} of {len(expected)} rows differ; the first: {different[0]}"
    assert len(found) == len(expected)


def test_the_report_is_that_of_the_undisturbed_replay(disturbed: Disturbed, undisturbed: Outcome) -> None:
    assert disturbed.report["totals"]["conversions"] == disturbed.truth.conversions.total()
    assert disturbed.report == undisturbed.report
