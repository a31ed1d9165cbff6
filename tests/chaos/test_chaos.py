"""Everything that dies, dies, at random instants and under load: both workers, the store, the gateway, again and again;
a worker joins, leaves, loses its disk; the broker is started again. A client that insists posts all the while.

Then the ledger must balance, everything sent must be there once, and every table must hold, row by row, what an
undisturbed run of one worker over the same log writes. (Revisions and why a row was restated may differ: they tell by
what way the same came about.) And the alerts that were sent must be those that follow from the windows as measured,
each under one id.

`ATTRIKIT_TEST_KILLS` says how many kills there are; unset, a few on Apache Kafka, and the small broker is left to
`make chaos`. `ATTRIKIT_TEST_SEED` draws others. The small broker forgets what it acknowledges while it stops, so it is
frozen where Apache Kafka is stopped and started. Its groups are for one member (see `NoidaBroker`), so there is one
worker.
"""

import asyncio
import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec
import pytest
from installation import SECOND_WORKER, Installation
from stream_worker import read_rows
from tables import FACTS, Rows, dump_tables
from topic_copy import copy_links, copy_topic

from deploy.demo.generator import Plan, Sending, Truth, generate, truth_of
from deploy.demo.poster import Parcel, Posted, Poster, parcels
from deploy.ledger.command import Result, examine
from deploy.local.apache_kafka import KafkaBroker
from deploy.local.broker import Broker, NoidaBroker
from pipeline.control.alerts import AlertRules
from pipeline.domain.alerts import Judge
from pipeline.stream.fatal import EXIT_FATAL
from schemas.control import AlertMetric, AlertRule, Comparison
from schemas.facts import AlertWindowRow
from schemas.topics import Topic

KILLS = int(os.environ.get("ATTRIKIT_TEST_KILLS", "0"))
SEED = int(os.environ.get("ATTRIKIT_TEST_SEED", "23"))
LEAN_KILLS = 4
EVENTS_A_KILL = 250
SETTLE_SECONDS = 240.0
FROZEN_SECONDS = 1.5
SETTINGS = {"idle_seconds": 3_600.0}
"""No time passes but by events, so that two runs see the same sessions closed."""
LEFT_OUT = {"revision", "supersedes", "reason", "is_deleted"}

pytestmark = pytest.mark.timeout(max(400, 40 * KILLS))


class Act(StrEnum):
    KILL = "kill"
    WIPE = "wipe"
    """Kill a worker and take its disk away."""
    LEAVE = "leave"
    """A worker ends in order, and joins again at a later moment."""
    BROKER = "broker"


@dataclass(frozen=True)
class Deed:
    act: Act
    name: str = ""


@dataclass
class Done:
    kills: Counter[str] = field(default_factory=Counter)
    wipes: int = 0
    leaves: int = 0
    broker_restarts: int = 0
    own_ends: Counter[str] = field(default_factory=Counter)
    """Processes that ended by themselves and were started again, with their exit codes."""


@dataclass(frozen=True)
class Scenario:
    make_broker: type[NoidaBroker] | type[KafkaBroker]
    workers: tuple[str, ...]
    kills: int = KILLS or LEAN_KILLS

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the processes."""
        return ("worker", "store", "gateway", *self.workers[1:])


SCENARIOS = [pytest.param(Scenario(KafkaBroker, ("worker", SECOND_WORKER)), id="kafka", marks=pytest.mark.kafka)]
if KILLS:
    SCENARIOS.append(pytest.param(Scenario(NoidaBroker, ("worker",)), id="noida"))


def plan_deeds(scenario: Scenario, random: Random) -> list[Deed]:
    """Every process is killed; the rest in proportion."""
    kills, names = scenario.kills, scenario.names
    deeds = [Deed(Act.KILL, names[n % len(names)]) for n in range(kills)]
    deeds += [Deed(Act.WIPE, random.choice(scenario.workers)) for _ in range(max(1, kills // 20))]
    deeds += [Deed(Act.BROKER) for _ in range(max(1, kills // 30))]
    if SECOND_WORKER in scenario.workers:
        deeds += [Deed(Act.LEAVE, SECOND_WORKER) for _ in range(kills // 15)]
    random.shuffle(deeds)
    return deeds


@dataclass(frozen=True)
class Survived:
    scenario: Scenario
    installation: Installation
    truth: Truth
    posted: Posted
    done: Done
    ledger: Result
    alerts: dict[str, Any]
    """Alerts by id, as sent."""
    owed: dict[str, Any]
    """Alerts by id, as they follow from what was measured."""
    tables: dict[str, Rows]


class Story:
    """Faults done to an installation while traffic is posted, one to each part of it."""

    def __init__(self, scenario: Scenario, installation: Installation, broker: Broker, random: Random) -> None:
        self.scenario = scenario
        self._installation = installation
        self._broker = broker
        self.deeds = plan_deeds(scenario, random)
        self._random = random
        self.away: set[str] = set()
        self.done = Done()

    async def run(self, traffic: list[Parcel]) -> Posted:
        headers = {"Authorization": f"Bearer {self._installation.key}"}
        url = self._installation.urls["gateway"]
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30.0, trust_env=False) as client:
            poster = Poster(client, concurrency=1, patience_seconds=180.0)
            size = -(-len(traffic) // len(self.deeds))
            for number, deed in enumerate(self.deeds):
                part = traffic[number * size : (number + 1) * size]
                posting = asyncio.create_task(poster.post_all(part))
                await self._at_some_moment(poster, part, posting)
                await self._do(deed)
                await posting
            await self._come_back()
        return poster.posted

    async def _at_some_moment(self, poster: Poster, part: list[Parcel], posting: asyncio.Task[Posted]) -> None:
        """Wait for the planned moment, so the checks follow each other closely; then for a random instant, as a check
        sees the posted count change just after an answer.
        """
        events = sum(len(parcel.sendings) for parcel in part)
        moment = poster.posted.sent + int(self._random.uniform(0.1, 0.8) * events)
        while poster.posted.sent < moment and not posting.done():
            await asyncio.sleep(0.002)
        await asyncio.sleep(self._random.uniform(0, 0.3))

    async def _do(self, deed: Deed) -> None:
        if deed.act is Act.BROKER:
            await self._restart_broker()
            self.done.broker_restarts += 1
        elif deed.act is Act.LEAVE:
            if deed.name in self.away:
                return
            self.away.add(deed.name)
            await asyncio.to_thread(self._installation.processes[deed.name].stop, 60)
            self.done.leaves += 1
        else:
            self._kill(deed)

    def _kill(self, deed: Deed) -> None:
        name = deed.name
        if name in self.away:  # it joins again, and the other one is killed
            self._installation.launch(name)
            self.away.discard(name)
            name = next(worker for worker in self.scenario.workers if worker != name)
        process = self._installation.processes[name]
        if process.is_running:
            process.kill()
            self.done.kills[name] += 1
        if deed.act is Act.WIPE:
            shutil.rmtree(self._installation.data_dir(name) / "stream", ignore_errors=True)
            self.done.wipes += 1
        self._installation.launch(name)

    async def _restart_broker(self) -> None:
        if isinstance(self._broker, NoidaBroker):
            self._broker.process.signal(signal.SIGSTOP)
            await asyncio.sleep(FROZEN_SECONDS)  # how long it stands still is what is tried
            self._broker.process.signal(signal.SIGCONT)
            return
        await asyncio.to_thread(self._broker.stop)
        self._broker.spawn()
        await asyncio.to_thread(self._broker.wait_ready)

    async def _come_back(self) -> None:
        for name in sorted(self.away):
            self._installation.launch(name)
        self.away.clear()
        names = self.scenario.names
        async with asyncio.timeout(120):
            while not all([await asyncio.to_thread(self._installation.is_ready, name) for name in names]):
                await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def start_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Broker]]:
    running: list[Broker] = []

    def start(make: type[NoidaBroker] | type[KafkaBroker]) -> Broker:
        folder = tmp_path_factory.mktemp("broker")
        running.append(make(folder / "data", folder / "broker.log"))
        running[-1].start()
        return running[-1]

    yield start
    for broker in running:
        broker.kill()


@pytest.fixture(scope="module", params=SCENARIOS)
def survived(
    request: pytest.FixtureRequest,
    start_broker: Callable[..., Broker],
    tmp_path_factory: pytest.TempPathFactory,
) -> Survived:
    scenario: Scenario = request.param
    if scenario.make_broker is KafkaBroker:
        request.getfixturevalue("kafka_jars")
    broker, random = start_broker(scenario.make_broker), Random(SEED)
    installation = Installation(tmp_path_factory.mktemp("chaos"), broker.bootstrap, **SETTINGS)
    story = Story(scenario, installation, broker, random)
    events = EVENTS_A_KILL * len(story.deeds)
    sendings = generate(Plan(int(time.time() * 1000), events, SEED, days=10, has_sent_at=False))
    rule = _add_rule(installation, sendings[0].arrival_ms, sendings)
    began = time.monotonic()
    try:
        installation.start(*scenario.names)
        posted, ledger, (alerts, owed) = asyncio.run(_live_through(story, installation, sendings, rule))
    finally:
        installation.stop()
    print(f"{scenario.make_broker.__name__}: {posted.sent} events in {time.monotonic() - began:.0f} s, {story.done}")
    tables = dump_tables(installation.settings.data_dir)
    return Survived(scenario, installation, truth_of(sendings), posted, story.done, ledger, alerts, owed, tables)


async def _live_through(
    story: Story, installation: Installation, sendings: list[Sending], rule: AlertRule
) -> tuple[Posted, Result, tuple[dict[str, Any], dict[str, Any]]]:
    """Return what was posted, the ledger, and the alerts, once all is settled. What ends by itself is started again
    until then, after the faults too: a worker may notice late that another has its partitions.
    """
    names = story.scenario.names
    supervising = asyncio.create_task(installation.supervise(names, story.away, story.done.own_ends))
    try:
        posted = await story.run(list(parcels(sendings, seed=SEED)))
        await installation.settle(SETTLE_SECONDS)
        return posted, await examine(installation.settings, SETTLE_SECONDS), await _alerts(installation, rule)
    finally:
        supervising.cancel()


def _add_rule(installation: Installation, from_ms: int, sendings: list[Sending]) -> AlertRule:
    """One that begins and ends often: more events an hour than there are on average."""
    threshold = len(sendings) / (10 * 24)
    rule = AlertRule(
        "rule_chaos", "demo", "busy", AlertMetric.EVENTS, Comparison.ABOVE, threshold, 3_600, active_from_ms=from_ms
    )
    rules = AlertRules(installation.settings.control_plane_dsn())
    rules.add(rule, 1)
    rules.close()
    return rule


async def _alerts(installation: Installation, rule: AlertRule) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the alerts sent and the alerts due, once every window that is complete was measured."""
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            meta = (await asyncio.to_thread(installation.get, "/v1/alerts"))["meta"]
            complete_ms = datetime.fromisoformat(meta["complete_through"]).timestamp() * 1000
            measured = [
                msgspec.convert(row, AlertWindowRow)
                for row in await read_rows(installation.settings, Topic.ALERT_WINDOWS)
            ]
            sent = await read_rows(installation.settings, Topic.ALERTS)
            owed = {alert.alert_id: msgspec.to_builtins(alert) for alert in Judge(rule, "CNY").take_all(measured)}
            alerts: dict[str, Any] = {}
            for row in sent:
                assert alerts.setdefault(row["alert_id"], row) == row, "one id, one content"
            is_through = measured and measured[-1].window_end_ms + 3_600_000 > complete_ms
            if is_through and len(alerts) >= len(owed):
                return alerts, owed
            await asyncio.sleep(0.5)


@pytest.fixture(scope="module")
def undisturbed(
    survived: Survived, start_broker: Callable[..., Broker], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Rows]:
    """One worker, one store, no gateway: its log is a copy of what the gateways wrote."""
    folder: Path = tmp_path_factory.mktemp("undisturbed")
    bootstrap = start_broker(NoidaBroker).bootstrap
    installation = Installation(folder, bootstrap, control_plane_of=survived.installation, **SETTINGS)
    source, target = survived.installation.settings, installation.settings
    for topic in (Topic.EVENTS, Topic.REJECTED):
        assert asyncio.run(copy_topic(topic, source, target)) > 0
    asyncio.run(copy_links(source, target))
    try:
        installation.start("worker", "store")
        asyncio.run(installation.settle(SETTLE_SECONDS))
    finally:
        installation.stop()
    return dump_tables(installation.settings.data_dir)


def test_what_was_to_happen_happened(survived: Survived) -> None:
    done, scenario = survived.done, survived.scenario
    assert set(done.kills) == set(scenario.names)
    assert done.kills.total() >= scenario.kills
    assert done.wipes
    assert done.broker_restarts
    assert set(done.own_ends) <= {f"{name}: {EXIT_FATAL}" for name in scenario.workers}, "only workers end by design"
    assert survived.posted.retries, "no gateway was killed under a request"


def test_the_ledger_balances(survived: Survived) -> None:
    assert survived.ledger.balance.problems == ()
    lines = survived.ledger.balance.lines
    assert sum(line.stored for line in lines) == survived.truth.stored
    assert sum(line.late for line in lines) == survived.truth.late
    assert sum(line.accepted for line in lines) >= survived.posted.accepted
    acknowledged = sum(line.acknowledged for line in lines)
    assert acknowledged > survived.posted.accepted / 2, "a killed gateway takes a second of its counts with it, no more"


def test_everything_sent_is_there_and_counts_once(survived: Survived) -> None:
    truth, tables = survived.truth, survived.tables
    assert survived.posted.surprises == []
    ids = [(row["app_id"], row["event_id"]) for row in tables["events"]]
    assert len(ids) == len(set(ids)) == truth.stored
    assert len(tables["conversions"]) == len(tables["attributions"]) == truth.conversions.total()
    assert sum(row["value_minor"] for row in tables["conversions"]) == truth.revenue_minor


def test_alerts_are_those_that_follow_from_what_was_measured(survived: Survived) -> None:
    assert len(survived.owed) > 3
    assert survived.alerts == survived.owed


@pytest.mark.parametrize("table", FACTS)
def test_every_row_is_that_of_the_undisturbed_run(survived: Survived, undisturbed: dict[str, Rows], table: str) -> None:
    found, expected = _plain(survived.tables[table]), _plain(undisturbed[table])
    assert expected
    missing, added = list((expected - found).elements()), list((found - expected).elements())
    assert (missing[:1], added[:1]) == ([], []), f"{len(missing)} rows are missing, {len(added)} should not be there"


def _plain(rows: Rows) -> Counter[str]:
    kept = ({name: value for name, value in row.items() if name not in LEFT_OUT} for row in rows)
    return Counter(json.dumps(row, sort_keys=True) for row in kept)
