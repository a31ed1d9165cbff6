"""The broker goes away under load and comes back; each of two gateways is killed under load. Clients insist.

Every event whose request was answered 2xx is stored, and counted once by every reader: in the events, the sessions, the
conversions and their value. Apache Kafka is stopped and started again. The small broker forgets what it acknowledges
while it stops (see `NoidaBroker`), so it is frozen instead: it keeps its connections and answers nothing.

Gateways and store recover by themselves. So does the stream worker, but where the broker has forgotten its producer it
does so by ending, for a supervisor to start it again; here the test is that supervisor.

The outage is short here; `ATTRIKIT_TEST_OUTAGE_SECONDS=30` makes it longer.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from insistent import Gate, Seen
from installation import SECOND_GATEWAY, Installation
from kafka_cluster import SETTINGS as KAFKA_CLUSTER
from kafka_cluster import KafkaCluster
from outage_work import CLIENTS, assert_counted_once, live_through, make_work
from tables import dump_tables
from waiting import until

from deploy.demo.observe import count_topic_lines
from deploy.local.apache_kafka import KafkaBroker
from deploy.local.broker import Broker, NoidaBroker

OUTAGE_SECONDS = float(os.environ.get("ATTRIKIT_TEST_OUTAGE_SECONDS", "4"))
GATEWAYS = ("gateway", SECOND_GATEWAY)
BATCHES_OF_EACH = 60
SETTLE_SECONDS = 120.0
BROKER_SHARE = 0.15
KILLS = ((0.45, GATEWAYS[0]), (0.6, GATEWAYS[1]), (0.75, GATEWAYS[0]))
"""Share of the events confirmed → the gateway that is killed then."""
STEP_SECONDS = 100.0
"""No step of the story takes longer, however busy the machine is."""
HANG_SECONDS = 20.0
"""A refusal takes two seconds at most, and this is a machine that does other things too."""

pytestmark = pytest.mark.timeout(500)


class Story:
    """Faults while the clients report, at given shares of their work. The clients wait at each share until its deed has
    begun, so that there is work left for it to disturb.
    """

    def __init__(self, installation: Installation, broker: Broker, seen: Seen, total: int) -> None:
        self._installation = installation
        self._broker = broker
        self._seen = seen
        self._total = total
        self.gate = Gate(seen, BROKER_SHARE * total)

    async def run(self) -> None:
        await self._share_reached()
        await self._lose_broker(next_share=KILLS[0][0])
        next_shares = [share for share, _ in KILLS[1:]] + [2.0]
        for (_, name), next_share in zip(KILLS, next_shares, strict=True):
            await self._share_reached()
            await self._kill_under_request(name, next_share)

    async def _share_reached(self) -> None:
        await until(lambda: self.gate.is_reached, "the clients' share is confirmed", STEP_SECONDS, 0.002)
        assert len(self._seen.confirmed) < self._total, "no work is left"

    async def _lose_broker(self, next_share: float) -> None:
        await asyncio.to_thread(self._take_away)
        before = self._seen.answers[500]
        self.gate.limit = next_share * self._total
        await asyncio.sleep(OUTAGE_SECONDS)  # how long it is away is what is tried
        await until(lambda: self._seen.answers[500] >= before + CLIENTS, "each client is refused", STEP_SECONDS)
        assert len(self._seen.confirmed) < self._total, "no work is left"
        if isinstance(self._broker, NoidaBroker):
            self._broker.process.signal(signal.SIGCONT)
        else:
            self._broker.spawn()
        await asyncio.to_thread(self._broker.wait_ready)

    async def _kill_under_request(self, name: str, next_share: float) -> None:
        port = self._installation.port(name)
        self.gate.limit = next_share * self._total
        await until(lambda: self._seen.under_way[port], f"a request to {name} is under way", STEP_SECONDS, 0.0)
        self._installation.kill(name)
        self._installation.launch(name)
        await asyncio.to_thread(self._installation.wait_ready, name)

    def _take_away(self) -> None:
        if isinstance(self._broker, NoidaBroker):
            self._broker.process.signal(signal.SIGSTOP)
        else:
            self._broker.stop()


@pytest.fixture
def make_broker(tmp_path: Path) -> Any:
    made: list[Broker] = []

    def make(kind: Callable[[Path, Path], Broker]) -> Broker:
        made.append(kind(tmp_path / "broker", tmp_path / "broker.log"))
        made[-1].start()
        return made[-1]

    yield make
    for broker in made:
        broker.kill()


@pytest.mark.parametrize("kind", [NoidaBroker, pytest.param(KafkaBroker, marks=pytest.mark.kafka)])
async def test_what_was_confirmed_is_stored_and_counted_once(
    kind: Any, make_broker: Callable[..., Broker], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind is KafkaBroker:
        request.getfixturevalue("kafka_jars")
    broker = make_broker(kind)
    installation = Installation(tmp_path / "data", broker.bootstrap)
    work, events = make_work(17, BATCHES_OF_EACH)
    seen = Seen()
    try:
        installation.start(*GATEWAYS, "worker", "store")
        ports = [installation.port(name) for name in GATEWAYS]
        story = Story(installation, broker, seen, len(events))
        async with installation.supervised("worker"):
            await live_through(story, work, ports, installation.key, seen)
            await installation.settle(SETTLE_SECONDS)
            here = {name: installation.processes[name] for name in (*GATEWAYS, "worker", "store")}
            ended = {name: process.log_tail() for name, process in here.items() if not process.is_running}
            assert not ended
        lines = await count_topic_lines(installation.settings)
    finally:
        await asyncio.to_thread(installation.stop)
    assert_met(seen, events)
    assert_counted_once(await asyncio.to_thread(dump_tables, installation.settings.data_dir), events, seen, lines)


@pytest.mark.kafka
@pytest.mark.skipif("ATTRIKIT_TEST_BROKERS" not in os.environ, reason="three brokers run in `make chaos`")
async def test_of_three_brokers_one_may_be_lost_and_with_two_lost_the_gateway_refuses(
    tmp_path: Path, kafka_jars: Path
) -> None:
    """Each record on three brokers, acknowledged once two have it. One is cut off and comes back, one is killed, a
    second too: nothing that was confirmed is lost, and what cannot be kept is refused.
    """
    cluster = KafkaCluster(tmp_path / "brokers")
    work, events = make_work(18, BATCHES_OF_EACH)
    seen = Seen()
    try:
        cluster.start()
        installation = Installation(tmp_path / "data", cluster.bootstrap, **KAFKA_CLUSTER)
        try:
            installation.start(*GATEWAYS, "worker", "store")
            ports = [installation.port(name) for name in GATEWAYS]
            story = BrokersStory(cluster, seen, len(events))
            async with installation.supervised("worker"):
                await live_through(story, work, ports, installation.key, seen)
                await installation.settle(SETTLE_SECONDS)
            lines = await count_topic_lines(installation.settings)
        finally:
            await asyncio.to_thread(installation.stop)
    finally:
        cluster.kill()
    assert seen.confirmed == events.keys()
    assert seen.bad_refusals == []
    assert_counted_once(await asyncio.to_thread(dump_tables, installation.settings.data_dir), events, seen, lines)


class BrokersStory:
    """Brokers lost while the clients report. Each deed begins at its share of the work, where the clients wait."""

    def __init__(self, cluster: KafkaCluster, seen: Seen, total: int) -> None:
        self._nodes = cluster.nodes
        self._seen = seen
        self._total = total
        self.gate = Gate(seen, 0.1 * total)

    async def run(self) -> None:
        first, second, third = self._nodes
        await self._confirmed(0.1)
        first.process.signal(signal.SIGSTOP)  # cut off: it holds its connections, and answers nobody
        await self._go_on_to(0.3)
        first.process.signal(signal.SIGCONT)
        await self._go_on_to(0.4)
        second.kill()
        await self._go_on_to(0.6)
        third.kill()
        before = self._seen.answers[500]
        self.gate.limit = 0.8 * self._total
        await until(lambda: self._seen.answers[500] >= before + CLIENTS, "each client is refused", STEP_SECONDS)
        second.spawn()
        await self._confirmed(0.8)
        third.spawn()
        self.gate.limit = 2.0 * self._total

    async def _go_on_to(self, share: float) -> None:
        self.gate.limit = share * self._total
        await self._confirmed(share)

    async def _confirmed(self, share: float) -> None:
        await until(
            lambda: len(self._seen.confirmed) >= share * self._total, f"{share:.0%} are confirmed", STEP_SECONDS
        )


def assert_met(seen: Seen, events: dict[str, Any]) -> None:
    """The clients met what they were to meet, and nothing else."""
    assert seen.confirmed == events.keys()
    assert seen.answers.keys() == {201, 500}, seen.answers
    assert seen.bad_refusals == []
    assert seen.slowest_refusal_seconds < HANG_SECONDS
    assert seen.unanswered > 0, "no gateway was killed under a request"
    assert seen.confirmed_twice
