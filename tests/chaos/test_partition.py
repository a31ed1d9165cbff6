"""The network between three brokers is parted under load, and one of them is killed. Clients insist.

Apache Kafka on three hosts of a network of the test's own, each broker and controller. Brokers and clients log in with
SCRAM over TLS; a record is acknowledged once two brokers have it. One after the other, while clients report: a broker
that leads is cut off from everybody; one is killed; one is cut off from the other brokers but not from its clients, so
that it does not know that it leads no more; two are cut off from everybody, and the gateways have to refuse. What was
acknowledged is in the tables once, and the ledger balances.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Any, Final

import pytest
from insistent import Gate, InsistentClient, Seen
from installation import SECOND_GATEWAY, Installation
from kafka_cluster import NETWORK, SecuredCluster
from lean_http import Connection
from namespaces import HERE
from outage_work import CLIENTS, assert_counted_once, live_through, make_work
from tables import dump_tables
from waiting import until

from deploy.demo.observe import count_topic_lines
from deploy.ledger.command import examine
from schemas.topics import Topic

GATEWAYS: Final = ("gateway", SECOND_GATEWAY)
BATCHES_OF_EACH: Final = 120
STEP_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 180.0
PERSONS: Final = 24
HANG_SECONDS: Final = 20.0
"""A refusal takes two seconds at most, and this is a machine that does other things too."""

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(900),
    pytest.mark.skipif("ATTRIKIT_TEST_BROKERS" not in os.environ, reason="a network is parted in `make chaos`"),
]


class NetworkStory:
    """Faults of the network while the clients report. Each begins at its share of the work, where the clients wait, and
    lasts for some of the work that follows.
    """

    def __init__(self, cluster: SecuredCluster, installation: Installation, seen: Seen, total: int) -> None:
        self._cluster = cluster
        self._installation = installation
        self._seen = seen
        self._total = total
        self.gate = Gate(seen, 0.1 * total)
        self.seconds: dict[str, float] = {}
        """How long it took until every partition had a new leader, by fault."""
        self.refused: list[dict[str, Any]] = []
        """Events that were refused, and may be in Kafka all the same."""

    async def run(self) -> None:
        await self._confirmed(0.1)
        await self._cut_off_from_all(until_share=0.3)
        await self._kill(until_share=0.45)
        await self._cut_off_from_brokers(until_share=0.65)
        await self._cut_off_two(until_share=0.85)
        self.gate.limit = 2.0 * self._total

    async def _cut_off_from_all(self, until_share: float) -> None:
        """Cut a leader off. The other two go on."""
        leader = await self._leader()
        await self._part_under_load({leader}, self._others(leader) | {HERE}, until_share)
        await self._leads_no_more(leader, "cut off")
        await self._confirmed(until_share)
        await self._heal()

    async def _kill(self, until_share: float) -> None:
        leader = await self._leader()
        self.gate.limit = until_share * self._total
        self._cluster.nodes[leader].kill()
        self._is_disturbed(until_share)
        await self._leads_no_more(leader, "killed")
        await self._confirmed(until_share)
        self._cluster.nodes[leader].spawn()
        await self._whole()

    async def _cut_off_from_brokers(self, until_share: float) -> None:
        """Part a leader from the other brokers. Its clients still reach it, and it takes itself for the leader."""
        leader = await self._leader()
        await self._part_under_load({leader}, self._others(leader), until_share)
        await self._leads_no_more(leader, "cut off from brokers")
        assert leader in {each.leader for each in await self._cluster.placed(leader)}
        await self._confirmed(until_share)
        await self._heal()

    async def _cut_off_two(self, until_share: float) -> None:
        """Leave one broker to the gateways: what it alone has is not acknowledged."""
        leader = await self._leader()
        await self._part_under_load(self._others(leader), {leader, HERE}, until_share)
        before = self._seen.answers[500]
        await until(lambda: self._seen.answers[500] >= before + CLIENTS, "each client is refused", STEP_SECONDS)
        await asyncio.gather(*map(self._is_refused, range(PERSONS)))
        assert not any([await self._is_ready(name) for name in GATEWAYS])
        await self._heal()
        await self._confirmed(until_share)

    async def _part_under_load(self, some: set[str], others: set[str], until_share: float) -> None:
        self.gate.limit = until_share * self._total
        await asyncio.to_thread(NETWORK.part, some, others)
        self._is_disturbed(until_share)

    def _is_disturbed(self, until_share: float) -> None:
        assert len(self._seen.confirmed) < until_share * self._total, "no work was left to disturb"

    async def _heal(self) -> None:
        await asyncio.to_thread(NETWORK.heal)
        await self._whole()

    async def _leader(self) -> str:
        """Return who leads the first partition of the events."""
        placed = await self._cluster.placed("1")
        return next(each.leader for each in placed if each.topic == Topic.EVENTS and each.partition == 0)

    def _others(self, node: str) -> set[str]:
        return self._cluster.nodes.keys() - {node}

    async def _leads_no_more(self, node: str, fault: str) -> None:
        """Wait until every partition has another leader, as another node sees it."""
        asked, began = min(self._others(node)), time.monotonic()
        async with asyncio.timeout(STEP_SECONDS):
            while {node, "-1"} & {each.leader for each in await self._cluster.placed(asked)}:
                await asyncio.sleep(0.2)
        self.seconds[fault] = round(time.monotonic() - began, 1)

    async def _whole(self) -> None:
        """Wait until every node has all there is, as each of them sees it."""
        for asked in self._cluster.nodes:
            async with asyncio.timeout(STEP_SECONDS):
                while {each.in_sync for each in await self._cluster.placed(asked)} != {frozenset(self._cluster.nodes)}:
                    await asyncio.sleep(0.2)

    async def _confirmed(self, share: float) -> None:
        await until(
            lambda: len(self._seen.confirmed) >= share * self._total, f"{share:.0%} are confirmed", STEP_SECONDS
        )

    async def _is_refused(self, person: int) -> None:
        """Try to report an event of a person; those of all persons belong to all partitions."""
        event = {"event_name": "page_view", "event_id": f"refused-{person}", "user_id": f"u{person}"}
        self.refused.append(event)
        name = GATEWAYS[person % len(GATEWAYS)]
        connection = Connection(self._installation.port(name), self._installation.key)
        answer = await connection.post("/v1/events/track", event)
        connection.close()
        assert answer.status == 500, f"one broker has it: {answer}"

    async def _is_ready(self, name: str) -> bool:
        return await asyncio.to_thread(self._installation.is_ready, name)


async def insist(events: list[dict[str, Any]], ports: list[int], key: str, seen: Seen) -> None:
    """Report events that were refused once more, until they are acknowledged."""
    client = InsistentClient(ports, key, seen, Gate(seen, float("inf")), CLIENTS)
    await client.report([events], twice_share=0.0)


async def test_what_was_acknowledged_outlives_a_parted_network_and_what_cannot_be_kept_is_refused(
    tmp_path: Path, kafka_jars: Path
) -> None:
    work, events = make_work(19, BATCHES_OF_EACH)
    seen = Seen()
    with NETWORK.made():
        cluster = SecuredCluster(tmp_path / "brokers")
        try:
            cluster.spawn()
            await cluster.ready()
            installation = Installation(tmp_path / "data", cluster.bootstrap, **cluster.settings)
            try:
                installation.start(*GATEWAYS, "worker", "store")
                story = NetworkStory(cluster, installation, seen, len(events))
                ports = [installation.port(name) for name in GATEWAYS]
                async with installation.supervised("worker"):
                    await live_through(story, work, ports, installation.key, seen)
                    await insist(story.refused, ports, installation.key, seen)
                    await installation.settle(SETTLE_SECONDS)
                ledger = await examine(installation.settings, SETTLE_SECONDS)
                lines = await count_topic_lines(installation.settings)
            finally:
                await asyncio.to_thread(installation.stop)
        finally:
            cluster.kill()
            NETWORK.heal()
    events |= {event["event_id"]: event for event in story.refused}
    print(f"{len(events)} events, answers {dict(seen.answers)}; new leaders after seconds: {story.seconds}")
    print(f"slowest refusal: {seen.slowest_refusal_seconds:.1f} s")
    assert seen.confirmed == events.keys()
    assert seen.answers.keys() == {201, 500}, seen.answers
    assert seen.bad_refusals == []
    assert seen.slowest_refusal_seconds < HANG_SECONDS
    assert_counted_once(await asyncio.to_thread(dump_tables, installation.settings.data_dir), events, seen, lines)
    assert ledger.balance.problems == ()
    for line in ledger.balance.lines:
        assert line.accepted == line.stored + line.duplicates
    assert sum(line.accepted for line in ledger.balance.lines) == lines
