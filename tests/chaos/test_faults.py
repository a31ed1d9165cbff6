"""Faults of networks, disks, files, clocks, locks and groups, one class of them after another, while traffic flows.

After each fault all that was accepted by then must be readable again, and how long that took is told. At the end of a
class the ledger must balance; every delivery that follows from the facts must have come, under one number and with one
body; and every table must hold, row by row, what an undisturbed run over the same log writes. (Revisions and why a row
was restated may differ: they tell by what way the same came about.)

`ATTRIKIT_TEST_FAULTS` says how many faults of each class there are; unset, one of the cheapest class, and the other
classes are left to `make chaos`. `ATTRIKIT_TEST_SEED` draws others. Rebalances, which take two workers, happen on
Apache Kafka (see `NoidaBroker`).
"""

import asyncio
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from fault_site import SETTLE_SECONDS, STEADY, Outcome, Site, open_site, wrong_clock
from faults import FAULTS
from installation import Installation
from tables import FACTS, Rows, dump_tables
from topic_copy import copy_links, copy_topic

from deploy.demo.generator import Plan, Truth, generate, truth_of
from deploy.demo.poster import Parcel, Posted, parcels
from deploy.local.apache_kafka import KafkaBroker
from deploy.local.broker import Broker, NoidaBroker
from deploy.local.ports import free_port
from schemas.topics import Topic

COUNT = int(os.environ.get("ATTRIKIT_TEST_FAULTS", "0"))
SEED = int(os.environ.get("ATTRIKIT_TEST_SEED", "23"))
CHEAPEST = "resets"
REBALANCES = "rebalances"
EVENTS_A_FAULT = 120
END_BEFORE_SECONDS = 2 * 3_600
"""The traffic ends so long ago that no clock that is wrong takes it for the future."""
DISK_BYTES = 1_500 * 1024 * 1024
LEFT_OUT = {"revision", "supersedes", "reason", "is_deleted"}

StartBroker = Callable[[type[NoidaBroker] | type[KafkaBroker]], Broker]

pytestmark = pytest.mark.timeout(max(400, 180 * COUNT))


@dataclass(frozen=True)
class Suffered:
    installation: Installation
    truth: Truth
    posted: Posted
    recoveries: list[float]
    outcome: Outcome
    tables: dict[str, Rows]


@pytest.fixture(scope="module")
def start_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartBroker]:
    running: list[Broker] = []

    def start(make: type[NoidaBroker] | type[KafkaBroker]) -> Broker:
        folder = tmp_path_factory.mktemp("broker")
        running.append(make(folder / "data", folder / "broker.log", free_port()))
        running[-1].start()
        return running[-1]

    yield start
    for broker in running:
        broker.kill()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own, mounted at `folder`; skips with the reason where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def clocks(folder: Path) -> Iterator[dict[str, Path]]:
    """A file for each process that says by how much its clock is wrong; skips where clocks cannot be made wrong."""
    files = {name: folder / f"clock-{name}" for name in STEADY}
    folder.mkdir(exist_ok=True)
    if wrong_clock(folder / "try") is None:
        pytest.skip("libfaketime is not installed (Debian, Ubuntu: apt install libfaketime)")
    yield files


CLASSES = [pytest.param(name, marks=pytest.mark.kafka if name == REBALANCES else ()) for name in FAULTS]


@pytest.fixture(scope="module", params=CLASSES if COUNT else [CHEAPEST])
def suffered(
    request: pytest.FixtureRequest, start_broker: StartBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Suffered]:
    name, count, random = request.param, COUNT or 1, Random(SEED)
    if name == REBALANCES:
        request.getfixturevalue("kafka_jars")
    broker = start_broker(KafkaBroker if name == REBALANCES else NoidaBroker)
    sendings = generate(
        Plan(int((time.time() - END_BEFORE_SECONDS) * 1000), EVENTS_A_FAULT * count, SEED, days=10, has_sent_at=False)
    )
    parts = list(_parts(list(parcels(sendings, seed=SEED)), count))
    folder = tmp_path_factory.mktemp("faults")
    with small_disk(folder / "disk") if name == "full disk" else _plain_folder(folder / "data") as data:
        with clocks(folder / "clocks") if name == "clock steps" else _none() as wrong:
            site, outcome = asyncio.run(_suffer(name, data, broker, parts, random, wrong))
        tables = dump_tables(data)
        print(site.describe(name))
        yield Suffered(site.installation, truth_of(sendings), site.poster.posted, site.recoveries, outcome, tables)


async def _suffer(
    name: str, data: Path, broker: Broker, parts: list[list[Parcel]], random: Random, wrong: dict[str, Path] | None
) -> tuple[Site, Outcome]:
    port = int(broker.bootstrap.rpartition(":")[2])
    async with open_site(data, port, second_worker=name == REBALANCES, clocks=wrong) as site:
        for part in parts:
            await site.suffer(FAULTS[name], part, random)
        return site, await site.settle()


@contextmanager
def _plain_folder(folder: Path) -> Iterator[Path]:
    yield folder


@contextmanager
def _none() -> Iterator[None]:
    yield None


def _parts(traffic: list[Parcel], count: int) -> Iterator[list[Parcel]]:
    """Cut the traffic into as many parts as there are faults."""
    for number in range(count):
        yield traffic[number * len(traffic) // count : (number + 1) * len(traffic) // count]


@pytest.fixture(scope="module")
def undisturbed(
    suffered: Suffered, start_broker: StartBroker, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Rows]:
    """One worker, one store, no gateway: its log is a copy of what the gateway wrote."""
    if not COUNT:
        pytest.skip("make chaos alone (ATTRIKIT_TEST_FAULTS) has an undisturbed run to compare rows with: a minute")
    source = suffered.installation.settings
    installation = Installation(
        tmp_path_factory.mktemp("undisturbed"),
        start_broker(NoidaBroker).bootstrap,
        control_plane_of=suffered.installation,
        idle_seconds=source.idle_seconds,
    )
    for topic in (Topic.EVENTS, Topic.REJECTED):
        assert asyncio.run(copy_topic(topic, source, installation.settings)) > 0
    asyncio.run(copy_links(source, installation.settings))
    try:
        installation.start("worker", "store")
        asyncio.run(installation.settle(SETTLE_SECONDS))
    finally:
        installation.stop()
    return dump_tables(installation.settings.data_dir)


def test_every_fault_was_recovered_from(suffered: Suffered) -> None:
    assert len(suffered.recoveries) == (COUNT or 1)
    assert suffered.posted.surprises == []


def test_the_ledger_balances(suffered: Suffered) -> None:
    assert suffered.outcome.ledger.balance.problems == ()
    lines = suffered.outcome.ledger.balance.lines
    assert sum(line.stored for line in lines) == suffered.truth.stored


def test_everything_sent_is_there_and_counts_once(suffered: Suffered) -> None:
    truth, tables = suffered.truth, suffered.tables
    ids = [(row["app_id"], row["event_id"]) for row in tables["events"]]
    assert len(ids) == len(set(ids)) == truth.stored
    assert len(tables["conversions"]) == len(tables["attributions"]) == truth.conversions.total()
    assert sum(row["value_minor"] for row in tables["conversions"]) == truth.revenue_minor


def test_every_delivery_came_under_one_number(suffered: Suffered) -> None:
    due, told = suffered.outcome.due, suffered.outcome.told
    assert due
    assert told.keys() == due
    assert [some for some in told.values() if len(some) != 1] == [], "a repeat has the same number and the same body"
    numbers = sorted(number for some in told.values() for number, _ in some)
    assert numbers == list(range(1, len(due) + 1)), "each number once, none missing"


@pytest.mark.parametrize("table", FACTS)
def test_every_row_is_that_of_the_undisturbed_run(suffered: Suffered, undisturbed: dict[str, Rows], table: str) -> None:
    found, expected = _plain(suffered.tables[table]), _plain(undisturbed[table])
    missing, added = list((expected - found).elements()), list((found - expected).elements())
    assert (missing[:1], added[:1]) == ([], []), f"{len(missing)} rows are missing, {len(added)} should not be there"


def _plain(rows: Rows) -> Counter[str]:
    kept = ({name: value for name, value in row.items() if name not in LEFT_OUT} for row in rows)
    return Counter(json.dumps(row, sort_keys=True) for row in kept)
