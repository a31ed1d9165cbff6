"""A rolling upgrade under load: two of every process, on two hosts, are replaced one after the other by those of the
next version, whose tables and control plane differ. No request fails, and everything is there once.

The earlier version is the commit before the newest migration of ClickHouse's tables, from this repository's history.
Around the processes stand Apache Kafka, PostgreSQL, Redis, and the stand-in for a ClickHouse server; load balancers
stop sending to a process some seconds before it is told to end, as the chart does. `make chaos` runs it.
"""

import asyncio
import io
import os
import subprocess
import tarfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import httpx
import pytest
from certificates import Authority
from clickhouse_over_chdb import standing_in_process
from cryptography.fernet import Fernet
from postgres_process import PostgresServer
from pydantic import SecretStr
from redis_process import RedisServer, redis_is_missing
from stream_worker import read_topic
from two_hosts import HOSTS, NETWORK, PORTS, Site, balancing
from waiting import until
from webhook_world import Receiver, receiving

from deploy.ledger.command import Result, examine
from deploy.local.apache_kafka import KafkaBroker
from deploy.local.demo_app import ensure_demo_key
from deploy.local.ports import free_port
from pipeline.control import ControlPlane
from pipeline.control.webhooks import WebhookEndpoints
from pipeline.readmodel.progress import open_reader, wait_until_settled
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.secret_box import SecretBox
from pipeline.runtime.settings import Settings
from schemas.control import WebhookEndpoint
from schemas.topics import Topic
from schemas.webhooks import EventType, delivery_id
from services.webhook_calls.signature import format_secret
from services.webhooks.payload import facts_of

ROOT: Final = Path(__file__).parents[2]
MIGRATIONS: Final = "schemas/clickhouse/migrations"
PRE_STOP_SECONDS: Final = 3.0
SETTLE_SECONDS: Final = 180.0
STEP_SECONDS: Final = 120.0
POSTERS, BATCH_EVENTS, PAUSE_SECONDS = 4, 5, 0.1
READS: Final = ("/v1/reports/performance?dimension=channel", "/v1/conversions", "/v1/events?limit=20")
ENDPOINT_ID: Final = "whe_rolling"
EVENT_TYPES: Final = frozenset({EventType.CONVERSION_CREATED, EventType.ATTRIBUTION_COMPLETED})

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(1_500),
    pytest.mark.skipif("ATTRIKIT_TEST_ROLLING" not in os.environ, reason="a rolling upgrade runs in `make chaos`"),
]


def version_before(folder: Path) -> Path:
    """Return the program as it was before the newest migration. Skips where the history is not here."""
    newest = _git("log", "-1", "--format=%H", "--diff-filter=A", "--", MIGRATIONS).decode().strip()
    if not newest:
        pytest.skip("the earlier version is in the repository's history, which holds no migration here")
    with tarfile.open(fileobj=io.BytesIO(_git("archive", f"{newest}~1"))) as tar:
        tar.extractall(folder, filter="data")
    print(f"from the commit before {newest[:9]} to this one")
    return folder


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        pytest.skip(f"the earlier version is in the repository's history, which git cannot read here: {said}")
    return done.stdout


@dataclass
class Load:
    """Clients that post and read without a pause longer than theirs, and never try again."""

    site: Site
    key: str
    phase: str = "before"
    failures: list[str] = field(default_factory=list)
    posted: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Events that were acknowledged, by their ids."""
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    """How long requests took, by phase and method."""
    is_over: bool = False

    async def run(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        async with (
            httpx.AsyncClient(headers=headers, timeout=30.0, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in range(POSTERS):
                group.create_task(self._post_on(client, number))
            group.create_task(self._read_on(client))

    async def _post_on(self, client: httpx.AsyncClient, poster: int) -> None:
        count = 0
        while not self.is_over:
            events = [_event(poster, count + n) for n in range(BATCH_EVENTS)]
            count += BATCH_EVENTS
            if await self._ask(client, "POST", "/v1/events/batch", count, json={"events": events}):
                self.posted |= {event["event_id"]: event for event in events}
            await asyncio.sleep(PAUSE_SECONDS)

    async def _read_on(self, client: httpx.AsyncClient) -> None:
        count = 0
        while not self.is_over:
            await self._ask(client, "GET", READS[count % len(READS)], count)
            count += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, client: httpx.AsyncClient, method: str, path: str, turn: int, **given: Any) -> bool:
        ready = [host for host in HOSTS if ("gateway", host) in self.site.taking_traffic]
        host = ready[turn % len(ready)]
        began = time.monotonic()
        try:
            answer = await client.request(method, f"http://{HOSTS[host]}:{PORTS['gateway']}{path}", **given)
            failure = "" if answer.is_success else f"{answer.status_code} {answer.text[:300]}"
        except httpx.HTTPError as error:
            failure = repr(error)
        self.seconds[self.phase, method].append(time.monotonic() - began)
        if failure:
            self.failures.append(f"{self.phase}, {method} {path} at {host}: {failure}")
        return not failure

    async def goes_on(self, events: int) -> None:
        """Wait until so many events more are acknowledged."""
        wanted = len(self.posted) + events
        await until(lambda: len(self.posted) >= wanted, "events are acknowledged", STEP_SECONDS)

    def p99_ms(self) -> dict[str, int]:
        return {
            f"{method} {phase}": round(1_000 * quantiles(took, n=100)[98])
            for (phase, method), took in sorted(self.seconds.items())
            if len(took) > 1
        }


def _event(poster: int, number: int) -> dict[str, Any]:
    event = {"event_name": "page_view", "event_id": f"p{poster}-{number}", "user_id": f"u{poster}-{number % 50}"}
    if number % 10 == 0:
        event |= {"event_name": "purchase", "properties": {"revenue": 10, "order_id": event["event_id"]}}
    return event


@dataclass(frozen=True)
class Upgraded:
    load: Load
    codes: dict[str, int | None]
    """Exit codes of the processes of the earlier version."""
    ledger: Result
    rows: dict[str, int]
    """Numbers of rows, and of those with different ids."""
    due: set[str]
    told: set[str]
    """Deliveries of webhooks that were due, and that came, by their ids."""


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path) -> Iterator[Upgraded]:
    if missing := redis_is_missing():
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("rolling")
    (folder / "exports").mkdir()
    earlier = version_before(folder / "earlier")
    with ExitStack() as stack:
        stack.enter_context(NETWORK.made())
        postgres = PostgresServer(tmp_path_factory.mktemp("postgres"), Authority(folder / "authority"))
        redis, broker = RedisServer(folder / "redis"), _broker(folder)
        for server, end in ((postgres, postgres.stop), (redis, redis.kill), (broker, broker.kill)):
            stack.callback(end)
            server.start()
        clickhouse_url = stack.enter_context(standing_in_process(folder / "clickhouse", shards=0))
        yield asyncio.run(_upgrade(folder, earlier, postgres, redis, broker, clickhouse_url))


def _broker(folder: Path) -> KafkaBroker:
    port, controller_port = free_port(), free_port()
    properties = [
        f"listeners=PLAINTEXT://0.0.0.0:{port},CONTROLLER://127.0.0.1:{controller_port}",
        f"advertised.listeners=PLAINTEXT://{NETWORK.address}:{port}",
        f"controller.quorum.voters=1@127.0.0.1:{controller_port}",
    ]
    return KafkaBroker(folder / "kafka", folder / "kafka.log", port, properties=properties)


async def _upgrade(
    folder: Path, earlier: Path, postgres: PostgresServer, redis: RedisServer, broker: KafkaBroker, clickhouse_url: str
) -> Upgraded:
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        for port in (postgres.port, redis.port, int(clickhouse_url.rpartition(":")[2]), receiver.port):
            await stack.enter_async_context(balancing(port, lambda port=port: [("127.0.0.1", port)]))
        query_port = free_port()
        shared = {
            "KAFKA_BOOTSTRAP": f"{NETWORK.address}:{int(broker.bootstrap.rpartition(':')[2])}",
            "CLICKHOUSE_URL": clickhouse_url.replace("127.0.0.1", NETWORK.address),
            "CONTROL_PLANE_URL": postgres.dsn.replace("127.0.0.1", NETWORK.address),
            "QUOTA_REDIS_URL": redis.url.replace("127.0.0.1", NETWORK.address),
            "WEBHOOK_KEY": Fernet.generate_key().decode(),
            "WEBHOOK_ALLOWED_NETWORKS": NETWORK.range,
            "EXPORT_URL": (folder / "exports").as_uri(),
            "OPERATOR_TOKEN": "op_test",
        }
        asks = {"QUERY_URL": f"http://{NETWORK.address}:{query_port}"}
        own = {"gateway": asks, "console": asks, "query": {"COUNT_REQUESTS": "false"}}
        site = Site(folder, shared, own)
        stack.push_async_callback(asyncio.to_thread, site.stop)
        await stack.enter_async_context(
            balancing(
                query_port,
                lambda: [(HOSTS[host], PORTS["query"]) for kind, host in site.taking_traffic if kind == "query"],
            )
        )
        for command in (["migrate"], ["topics", "create"]):
            await asyncio.to_thread(site.run, earlier, *command)
        settings = _settings(shared, asks)
        key = await asyncio.to_thread(_set_up, settings, folder, receiver)
        await site.start(earlier)
        return await _under_load(site, Load(site, key), settings, receiver, earlier)


def _settings(shared: dict[str, str], asks: dict[str, str]) -> Settings:
    given = {name.lower(): value for name, value in (shared | asks).items()}
    secrets = {name: SecretStr(given[name]) for name in ("clickhouse_url", "control_plane_url", "operator_token")}
    secrets |= {"webhook_key": SecretStr(given["webhook_key"]), "quota_redis_url": SecretStr(given["quota_redis_url"])}
    return Settings.model_construct().model_copy(update=given | secrets)


def _set_up(settings: Settings, folder: Path, receiver: Receiver) -> str:
    """Make an app, a key of it and an endpoint, with the present program. Return the key."""
    control_plane = ControlPlane(settings.control_plane_dsn())
    key, _ = ensure_demo_key(control_plane, folder / "demo-key", now_ms=1)
    control_plane.close()
    secret = SecretBox.open(settings, creates=False).lock(format_secret(b"0123456789abcdef01234567"))
    url = receiver.url("/hook").replace("127.0.0.1", NETWORK.address)
    endpoints = WebhookEndpoints(settings.control_plane_dsn())
    endpoints.add(WebhookEndpoint(ENDPOINT_ID, "demo", url, EVENT_TYPES, secret, created_at_ms=1), 1)
    endpoints.close()
    return key


async def _under_load(site: Site, load: Load, settings: Settings, receiver: Receiver, earlier: Path) -> Upgraded:
    loading = asyncio.create_task(load.run())
    await load.goes_on(500)
    load.phase = "during"
    await asyncio.to_thread(site.run, None, "migrate")
    codes = {}
    for kind in PORTS:
        for host in HOSTS:
            codes[f"{kind} at {host}"] = await site.replace(kind, host, None, PRE_STOP_SECONDS)
    load.phase = "after"
    await load.goes_on(500)
    load.is_over = True
    await loading
    async with open_reader(settings) as reader:
        await wait_until_settled(reader, SETTLE_SECONDS)
    due = await _deliveries_due(settings)
    await receiver.until(lambda: due <= receiver.ids("/hook").keys(), SETTLE_SECONDS)
    print(f"{len(load.posted)} events; p99 in ms: {load.p99_ms()}")
    told = set(receiver.ids("/hook"))
    return Upgraded(load, codes, await examine(settings, SETTLE_SECONDS), await _rows(settings), due, told)


async def _deliveries_due(settings: Settings) -> set[str]:
    return {
        delivery_id(ENDPOINT_ID, fact.event_type, fact.fact_id, fact.revision)
        for topic in (Topic.CONVERSIONS, Topic.ATTRIBUTIONS)
        for _, _, _, value in await read_topic(settings, topic)
        for fact in facts_of(topic, value or b"")
    }


async def _rows(settings: Settings) -> dict[str, int]:
    clickhouse = ClickHouse.open(settings)
    try:
        [[events, ids]] = await clickhouse.query("SELECT count(), uniqExact(event_id) FROM events FINAL")
        [[conversions]] = await clickhouse.query("SELECT count() FROM conversions FINAL WHERE NOT is_deleted")
        [[credited]] = await clickhouse.query("SELECT count() FROM attributions FINAL WHERE NOT is_deleted")
    finally:
        clickhouse.close()
    return {"events": events, "ids of events": ids, "conversions": conversions, "credited": credited}


def test_no_request_failed(upgraded: Upgraded) -> None:
    assert upgraded.load.failures == []
    phases = {phase for phase, _ in upgraded.load.seconds}
    assert phases == {"before", "during", "after"}


def test_every_process_ended_in_order(upgraded: Upgraded) -> None:
    assert set(upgraded.codes.values()) == {0}, upgraded.codes
    assert len(upgraded.codes) == len(PORTS) * len(HOSTS)


def test_everything_acknowledged_is_there_once(upgraded: Upgraded) -> None:
    posted = upgraded.load.posted.values()
    purchases = sum(event["event_name"] == "purchase" for event in posted)
    assert upgraded.rows == {
        **{"events": len(posted), "ids of events": len(posted)},
        **{"conversions": purchases, "credited": purchases},
    }


def test_the_ledger_balances(upgraded: Upgraded) -> None:
    assert upgraded.ledger.balance.problems == ()


def test_every_delivery_came(upgraded: Upgraded) -> None:
    assert upgraded.due
    assert upgraded.due == upgraded.told
