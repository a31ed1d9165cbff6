"""An installation to which faults are done while traffic flows: every process behind proxies of its own, a receiver of
webhooks, a pace of traffic, and the time that recovery takes.

    async with open_site(folder, bootstrap, …) as site:
        await site.suffer(fault, traffic)      # once for each fault
    outcome = await site.settle()              # everything that can be compared, read while it still runs
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import httpx
from installation import DISPATCHER, SECOND_WORKER, Installation
from stream_worker import read_topic
from tcp_proxy import TcpProxy
from webhook_world import Receiver, receiving

from deploy.demo.poster import Parcel, Poster
from deploy.ledger.command import Result, examine
from pipeline.control.webhooks import WebhookEndpoints
from pipeline.readmodel.progress import ProgressReader, evaluate, open_reader
from pipeline.runtime.secret_box import SecretBox
from pipeline.runtime.settings import Settings
from schemas.control import WebhookEndpoint
from schemas.topics import Topic
from schemas.webhooks import EventType, delivery_id
from services.webhook_calls.signature import format_secret
from services.webhooks.payload import facts_of

SETTLE_SECONDS = 240.0
RECOVERY_SECONDS = 240.0
"""The longest that a recovery may take, on a machine that does other things too."""
ENDPOINT_ID = "whe_chaos"
STEADY = ("gateway", "store", "worker", DISPATCHER)
_POLL_SECONDS = 0.05
_SETTINGS: dict[str, Any] = {
    "idle_seconds": 3_600.0,  # no time passes but by events, so that two runs see the same sessions closed
    "webhook_allowed_networks": "127.0.0.0/8",
    "webhook_retry_seconds": ",".join(["1"] * 90),  # more rungs than failures can come in a row
    "worker_session_timeout_seconds": 6.0,
}

Fault = Callable[["Site", Random], Awaitable[None]]
"""Does harm, keeps it up for a moment, and takes it away again."""


@dataclass
class Outcome:
    """What can be told of a site while it still runs."""

    ledger: Result
    due: set[str]
    """Ids of the deliveries that follow from the facts in the topics."""
    told: Mapping[str, set[tuple[int, bytes]]]
    """Delivery id → the (sequence number, body) it came with, all tries together."""


@dataclass
class Site:
    installation: Installation
    direct: Settings
    """Settings to reach the broker with, past the proxies."""
    links: dict[str, TcpProxy]
    """Proxies by the link they stand in."""
    receiver: Receiver
    poster: Poster
    reader: ProgressReader
    clocks: Mapping[str, Path]
    """Name of a process → the file that says by how much its clock is wrong; empty: clocks are right."""
    recoveries: list[float] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    """Processes that ended by themselves and were started again, with their exit codes."""
    away: set[str] = field(default_factory=set)
    """Processes that a fault keeps down."""

    async def suffer(self, fault: Fault, traffic: list[Parcel], random: Random) -> None:
        """Post the traffic, do the fault at some moment of it, and wait until all that was accepted by the time of the
        healing can be read.
        """
        posting = asyncio.create_task(self.poster.post_all(traffic))
        try:
            await asyncio.sleep(random.uniform(0.0, 0.4))  # the moment is drawn
            await fault(self, random)
            healed = time.monotonic()
            await posting
            await self.recover()
            self.recoveries.append(time.monotonic() - healed)
        finally:
            posting.cancel()

    async def recover(self) -> None:
        """Wait until every process is ready and everything accepted can be read. Raises `AssertionError`, saying what
        is not well.
        """
        for name in sorted(self.away):
            self.launch(name)
        self.away.clear()
        deadline = time.monotonic() + RECOVERY_SECONDS
        while ailment := await self._ailment():
            assert time.monotonic() < deadline, f"after {RECOVERY_SECONDS:.0f} s: {ailment}"
            await asyncio.sleep(_POLL_SECONDS)

    def launch(self, name: str) -> None:
        if not self.installation.processes[name].is_running:
            self.installation.launch(name)

    async def _ailment(self) -> str:
        """Return what is not well; empty if all is."""
        for name in STEADY:
            if not await asyncio.to_thread(self.installation.is_ready, name):
                return f"{name} is not ready; it wrote {self.installation.processes[name].log_tail(3)}"
        try:
            progress = evaluate(await self.reader.read())
        except TimeoutError:
            return "the broker does not answer"
        return ", ".join(str(part) for part in progress.partitions if not part.is_settled)

    async def settle(self) -> Outcome:
        """Return once every delivery that is due was made, and the books can be read."""
        await self.recover()
        due = await self._deliveries_due()
        await self.receiver.until(lambda: due <= self.receiver.ids("/hook").keys(), SETTLE_SECONDS)
        told: dict[str, set[tuple[int, bytes]]] = defaultdict(set)
        for call in self.receiver.of("/hook"):
            told[call.id].add((call.message["sequence"], call.body))
        return Outcome(await examine(self.direct, SETTLE_SECONDS), due, told)

    async def _deliveries_due(self) -> set[str]:
        return {
            delivery_id(ENDPOINT_ID, fact.event_type, fact.fact_id, fact.revision)
            for topic in (Topic.CONVERSIONS, Topic.ATTRIBUTIONS)
            for _, _, _, value in await read_topic(self.direct, topic)
            for fact in facts_of(topic, value or b"")
        }

    def describe(self, name: str) -> str:
        """One line for people: how many faults, how long recovery took, what ended by itself."""
        times = sorted(self.recoveries)
        return (
            f"{name}: {len(times)} faults, recovery p50 {median(times):.1f} s, longest {times[-1]:.1f} s; "
            f"{self.poster.posted.sent} events, {self.poster.posted.retries} requests tried again, "
            f"{len(self.receiver.calls)} webhooks, ended {dict(self.ends)}"
        )


@asynccontextmanager
async def open_site(
    folder: Path, broker_port: int, *, second_worker: bool = False, clocks: Mapping[str, Path] | None = None
) -> AsyncIterator[Site]:
    """A site whose processes run and are supervised; stopped in order at the end."""
    async with AsyncExitStack() as stack:
        links = {}
        for name in (*STEADY, SECOND_WORKER):
            links[f"broker of {name}"] = await stack.enter_async_context(TcpProxy(broker_port, is_kafka=True))
        installation = _installation(folder, broker_port, links, clocks or {})
        receiver = await stack.enter_async_context(receiving())
        for name, port in (("door", installation.port("gateway")), ("receiver", receiver.port)):
            links[name] = await stack.enter_async_context(TcpProxy(port))
        _add_endpoint(installation, f"http://127.0.0.1:{links['receiver'].port}/hook")
        names = (*STEADY, SECOND_WORKER) if second_worker else STEADY
        stack.push_async_callback(asyncio.to_thread, installation.stop)
        installation.launch(*names)
        await asyncio.to_thread(installation.wait_ready, *names)
        headers = {"Authorization": f"Bearer {installation.key}"}
        url = f"http://127.0.0.1:{links['door'].port}"
        client = httpx.AsyncClient(base_url=url, headers=headers, timeout=15.0, trust_env=False)
        poster = Poster(await stack.enter_async_context(client), concurrency=1, patience_seconds=RECOVERY_SECONDS)
        direct = installation.settings
        reader = await stack.enter_async_context(open_reader(direct))
        site = Site(installation, direct, links, receiver, poster, reader, clocks or {})
        supervisor = asyncio.create_task(installation.supervise(STEADY, site.away, site.ends))
        stack.callback(supervisor.cancel)
        yield site


def _installation(
    folder: Path, broker_port: int, links: Mapping[str, TcpProxy], clocks: Mapping[str, Path]
) -> Installation:
    own = {
        name.removeprefix("broker of "): {"kafka_bootstrap": f"127.0.0.1:{proxy.port}"} for name, proxy in links.items()
    }
    wrong = {name: wrong_clock(path) or {} for name, path in clocks.items()}
    return Installation(folder, f"127.0.0.1:{broker_port}", own=own, environment=wrong, **_SETTINGS)


def wrong_clock(path: Path) -> dict[str, str] | None:
    """The variables that make a process read its clock through libfaketime, by what the file says; None: there is no
    libfaketime.
    """
    found = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if found is None:
        return None
    path.write_text("+0\n")
    return {
        "LD_PRELOAD": str(found),
        "FAKETIME_TIMESTAMP_FILE": str(path),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def _add_endpoint(installation: Installation, url: str) -> None:
    box = SecretBox.open(installation.settings, creates=True)
    store = WebhookEndpoints(installation.settings.control_plane_dsn())
    endpoint = WebhookEndpoint(
        endpoint_id=ENDPOINT_ID,
        app_id="demo",
        url=url,
        event_types=frozenset({EventType.CONVERSION_CREATED, EventType.ATTRIBUTION_COMPLETED}),
        secret=box.lock(format_secret(b"0123456789abcdef01234567")),
        created_at_ms=1,
    )
    store.add(endpoint, 1)
    store.close()
