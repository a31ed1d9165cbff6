"""The gateway as a process of its own, on a real broker that comes and goes."""

import asyncio
import base64
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.broker import NoidaBroker
from deploy.local.process import ChildEnded, ChildProcess
from pipeline.control import ControlPlane, migrate_control_plane
from schemas.control import App, Scope
from schemas.events import AcceptedEvent
from schemas.facts import RejectedRow
from schemas.ids import partition_for
from schemas.persons import person_key
from schemas.topics import Topic

READY_SECONDS = 30.0
PARTITIONS = 4


class Running:
    """A gateway over its own broker and control plane."""

    def __init__(self, folder: Path, port: int) -> None:
        self.broker_folder = folder / "broker"
        self.broker = NoidaBroker(self.broker_folder, folder / "broker.log")
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._port = port
        dsn = f"sqlite:///{folder}/control.db"
        migrate_control_plane(dsn)
        plane = ControlPlane(dsn)
        plane.create_app(App("shop", "Shop", history_limit_days=4_000), 0)
        self.key = plane.create_key("shop", [Scope.WRITE], 0).secret
        plane.close()

    def process(self, **settings: Any) -> ChildProcess:
        argv = [sys.executable, "-P", "-m", "deploy.cli", "gateway"]
        return ChildProcess("gateway", argv, self._folder / "gateway.log", environment=self._environment(**settings))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments, to its end."""
        argv = [sys.executable, "-P", *arguments]
        return subprocess.run(argv, env=self._environment(), capture_output=True, text=True, timeout=90)

    def _environment(self, **settings: Any) -> dict[str, str]:
        given = {"data_dir": self._folder, "kafka_bootstrap": self.broker.bootstrap, "port": self._port} | settings
        own = {name: value for name, value in os.environ.items() if not name.startswith("ATTRIKIT_")}
        return own | {f"ATTRIKIT_{name.upper()}": str(value) for name, value in given.items()}

    def answers(self, path: str, status: int) -> bool:
        try:
            return httpx.get(self.url + path, trust_env=False, timeout=5.0).status_code == status
        except httpx.HTTPError:
            return False

    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.key}"}
        limits = httpx.Limits(max_connections=64)
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=30.0, limits=limits)

    async def read(self, topic: Topic) -> list[tuple[int, bytes]]:
        """Every line of a topic with its partition."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.broker.bootstrap, max_partition_fetch_bytes=8 << 20)
        await consumer.start()
        try:
            places = [TopicPartition(topic.value, partition) for partition in range(PARTITIONS)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            await consumer.seek_to_beginning(*places)
            records = [await consumer.getone(place) for place in places for _ in range(ends[place])]
            return [(record.partition, line) for record in records for line in record.value.splitlines()]
        finally:
            await consumer.stop()

    async def events(self) -> list[tuple[int, AcceptedEvent]]:
        return [(at, msgspec.json.decode(line, type=AcceptedEvent)) for at, line in await self.read(Topic.EVENTS)]


@pytest.fixture
def running(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Running]:
    made = Running(tmp_path, free_port())
    yield made
    made.broker.stop()


@pytest.fixture
def gateway(running: Running) -> Iterator[ChildProcess]:
    running.broker.start()
    process = running.process()
    process.start()
    process.wait_until(lambda: running.answers("/readyz", 200), READY_SECONDS)
    yield process
    process.stop(20)


@pytest.fixture
async def client(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with running.client() as opened:
        yield opened


async def test_what_is_answered_201_is_in_its_partition_and_refusals_are_kept(
    running: Running, gateway: ChildProcess, client: httpx.AsyncClient
) -> None:
    def event(number: int) -> dict[str, Any]:
        return {"event_name": "page_view", "event_id": f"e{number}", "user_id": f"u{number % 7}"}

    singles = [client.post("/v1/events/track", json=event(n)) for n in range(100)]
    batches = [
        client.post("/v1/events/batch", json={"events": [*(event(n) for n in range(start, start + 50)), {}]})
        for start in range(100, 300, 50)
    ]
    answers = await asyncio.gather(*singles, *batches)
    assert {answer.status_code for answer in answers} == {201}
    events = await running.events()
    assert sorted(found.event_id for _, found in events) == sorted(f"e{n}" for n in range(300))
    for partition, found in events:
        key = person_key(found.user_id, found.anonymous_id, found.event_id)
        assert partition == partition_for("shop", key, PARTITIONS)
    rows = [msgspec.json.decode(line, type=RejectedRow) for _, line in await running.read(Topic.REJECTED)]
    assert [(row.code, row.field) for row in rows] == [("MISSING_REQUIRED_FIELD", "events[50].event_name")] * 4
    assert running.answers("/docs", 200)


async def test_the_broker_goes_and_comes_back(
    running: Running, gateway: ChildProcess, client: httpx.AsyncClient
) -> None:
    """Clients that retry with the same ids lose nothing, and while the broker is away nobody waits long."""

    async def send_until_accepted(number: int) -> list[int]:
        statuses: list[int] = []
        async with asyncio.timeout(60):
            while not statuses or statuses[-1] != 201:
                event = {"event_name": "a", "event_id": f"e{number}", "user_id": f"u{number}"}
                answer = await client.post("/v1/events/track", json=event)
                statuses.append(answer.status_code)
                if answer.status_code == 500:
                    assert answer.json()["error"]["code"] == "SERVER_ERROR"
                    await asyncio.sleep(float(answer.headers["retry-after"]))
        return statuses

    before = await asyncio.gather(*(send_until_accepted(n) for n in range(20)))
    assert before == [[201]] * 20
    await asyncio.to_thread(running.broker.stop)
    sending = [asyncio.create_task(send_until_accepted(n)) for n in range(20, 60)]
    await asyncio.to_thread(gateway.wait_until, lambda: running.answers("/readyz", 503), 20.0)
    assert running.answers("/healthz", 200)
    running.broker.start()
    histories = await asyncio.gather(*sending)
    assert {status for history in histories for status in history[:-1]} == {500}
    await asyncio.to_thread(gateway.wait_until, lambda: running.answers("/readyz", 200), READY_SECONDS)
    assert {found.event_id for _, found in await running.events()} == {f"e{n}" for n in range(60)}


async def test_sigterm_finishes_what_is_under_way(
    running: Running, gateway: ChildProcess, client: httpx.AsyncClient
) -> None:
    accepted: set[str] = set()

    async def keep_sending(sender: int) -> None:
        for number in range(100_000):
            event_id = f"e{sender}-{number}"
            try:
                answer = await client.post("/v1/events/track", json={"event_name": "a", "event_id": event_id})
            except httpx.TransportError:
                return
            assert answer.status_code == 201
            accepted.add(event_id)

    senders = [asyncio.create_task(keep_sending(n)) for n in range(8)]
    async with asyncio.timeout(30):
        while len(accepted) < 100:
            await asyncio.sleep(0.01)
    assert await asyncio.to_thread(gateway.stop, 20) == 0
    await asyncio.gather(*senders)
    assert accepted <= {found.event_id for _, found in await running.events()}


async def test_it_starts_without_a_broker_and_connects_when_there_is_one(
    running: Running, client: httpx.AsyncClient
) -> None:
    process = running.process()
    process.start()
    try:
        process.wait_until(lambda: running.answers("/healthz", 200), READY_SECONDS)
        assert running.answers("/readyz", 503)
        answer = await client.post("/v1/events/track", json={"event_name": "a"})
        assert (answer.status_code, answer.headers["retry-after"]) == (500, "1")
        running.broker.start()
        process.wait_until(lambda: running.answers("/readyz", 200), READY_SECONDS)
        assert (await client.post("/v1/events/track", json={"event_name": "a"})).status_code == 201
    finally:
        assert process.stop(20) == 0


def test_another_number_of_partitions_ends_it_with_the_reason(running: Running, gateway: ChildProcess) -> None:
    gateway.stop(20)
    other = running.process(partitions=PARTITIONS + 1)
    other.start()
    with pytest.raises(ChildEnded):
        other.wait_until(lambda: False, READY_SECONDS)
    assert other.exit_code == 1
    assert any("4 partitions, settings say 5" in line for line in other.log_tail())


START_UP_FAILS = """
from deploy.cli.main import app
from pipeline.control import SnapshotSource

async def start(self):
    raise OSError("no thread can be started")

SnapshotSource.start = start
app()
"""


@pytest.mark.parametrize("service", ["gateway", "query"])
def test_a_start_up_that_fails_ends_with_a_code_and_the_reason(running: Running, service: str) -> None:
    done = running.run("-c", START_UP_FAILS, service)
    assert done.returncode > 0, done.stderr
    assert "no thread can be started" in done.stderr


@pytest.mark.parametrize("control_plane", ["", "postgresql://me:hush-control@127.0.0.1:9/x"], ids=["sqlite", "away"])
async def test_passwords_in_addresses_are_in_no_log_and_no_answer(
    running: Running, client: httpx.AsyncClient, control_plane: str
) -> None:
    running.broker.start()
    process = running.process(
        control_plane_url=control_plane,
        clickhouse_url="http://me:hush-tables@127.0.0.1:9/x",
        query_url="http://me:hush-query@127.0.0.1:9",
        quota_redis_url="redis://:hush-quota@127.0.0.1:9/0",
        export_url="s3://me:hush-export@bucket/x",
    )
    process.start()
    try:
        is_up = ("/healthz", 200) if control_plane else ("/readyz", 200)
        process.wait_until(lambda: running.answers(*is_up), READY_SECONDS)
        asked = [
            await client.get(path) for path in ("/readyz", "/v1/users", "/v1/events", "/operator", "/openapi.json")
        ]
        asked.append(await client.post("/v1/events/track", json={"event_name": "a", "user_id": "u"}))
        assert {answer.status_code for answer in asked} >= {200, 500} if not control_plane else True
    finally:
        assert process.stop(20) == 0, process.log_tail()
    log = process.log_path.read_text()
    assert "gateway_starting" in log
    assert [text for text in (log, *(answer.text for answer in asked)) if "hush" in text] == []


@pytest.fixture
def small_disk(running: Running) -> Iterator[Path]:
    """The broker's data folder on a file system of 40 MB."""
    folder = running.broker_folder
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder]).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    running.broker.stop()
    subprocess.run(["umount", folder], check=True)


async def test_before_the_disk_of_the_embedded_broker_is_full_events_are_refused_and_what_was_taken_is_saved(
    running: Running, small_disk: Path, client: httpx.AsyncClient
) -> None:
    running.broker.start()
    gateway = running.process(broker_data_dir=small_disk, broker_margin_bytes=8 << 20)
    gateway.start()
    accepted: list[str] = []
    try:
        gateway.wait_until(lambda: running.answers("/readyz", 200), READY_SECONDS)
        async with asyncio.timeout(60):
            while (answer := await client.post("/v1/events/track", json=_large(len(accepted)))).status_code == 201:
                accepted.append(answer.json()["data"]["event_id"])
                await asyncio.sleep(0.01)  # a pace that the margin covers between two looks at the disk
        assert (answer.status_code, answer.headers["retry-after"]) == (500, "10")
        assert running.answers("/readyz", 503)
    finally:
        gateway.stop(20)
    assert len(accepted) > 20
    running.broker.stop()
    running.broker.start()
    assert sorted(found.event_id for _, found in await running.events()) == sorted(accepted)


def _large(number: int) -> dict[str, Any]:
    """An event of 30 KB that does not get smaller when it is packed."""
    noise = base64.b64encode(random.Random(number).randbytes(22_000)).decode()
    return {"event_name": "a", "event_id": f"e{number}", "properties": {"noise": noise}}
