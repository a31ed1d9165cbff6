"""Pages of the console over ten million events (`fill`), each beside the reports it reads; and a live event.

A page may take 50 ms longer than its reports, at p95. Its reports are what it asks the query service for while it is
made: they are noted, and asked for again, all at once, in turn with the page, so that both have the same machine. The
console is a process of its own, as where it is installed, and its processor time is told apart.
Pages, style and scripts have a greatest size. Of a live event: the time from its report to its row in the browser, with
the whole product.

`FILL_EVENTS` makes it another number of events; `FILL_DIR` keeps the tables there, filled once, for the next run.
"""

import asyncio
import gzip
import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import fill
import httpx
from figures import Figure
from processes import READY_SECONDS, answers, cpu_seconds, running
from read_bench import EVENTS, sample

from deploy.demo.product import Product
from deploy.local.ports import free_port
from deploy.local.process import ChildProcess
from pipeline.control.signing_key import SigningKeyReader
from pipeline.runtime.clickhouse import ClickHouse, migrate
from pipeline.runtime.clock import now_ms
from pipeline.runtime.log import configure_logging
from pipeline.runtime.settings import Settings
from schemas.control import DEFAULT_GOALS, App
from services.console.ledger import LEDGER
from services.query.app import create_app
from services.web.console_key import LIFE_MS, make_console_key

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
from app_servers import AppServers
from chromium import chromium, chromium_is_missing
from console_world import ADMIN, Visitor, prepare_people

ROUNDS = 100
"""So that p95 is hardly the luck of a few: the same report takes a third more or less from one time to the next."""
MARGIN_MS = 50.0
MAX_PAGE_BYTES = 150 * 1024
MAX_ASSET_BYTES = 60 * 1024
LIVE_EVENTS = 60
MAX_LIVE_MS = 2_000.0
_PASSWORD = "Console-Bench-2026"
_MONTH = "from=2024-02-01&to=2024-02-29"
_ASSET = re.compile(r'(?:href|src)="(/static/[^"]+\.(?:css|js))"')


class Calls:
    """The query service, which notes what it is asked for, by anybody but operators."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.noted: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not scope["path"].startswith("/operator/"):
            query = scope["query_string"].decode()
            self.noted.append(scope["path"] + (f"?{query}" if query else ""))
        await self._app(scope, receive, send)


class ConsoleKeys(httpx.Auth):
    """Signs reads as the console does: its keys hold for seconds."""

    def __init__(self, signing_key: bytes) -> None:
        self._signing_key = signing_key

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
        key = make_console_key(self._signing_key, fill.APP_ID, now_ms() + LIFE_MS // 2)
        request.headers["Authorization"] = f"Bearer {key}"
        yield request


def pages(samples: dict[str, str]) -> dict[str, str]:
    """Name → path below the app's, of the pages that read a report or a list."""
    return {
        "overview": f"overview?{_MONTH}",
        "performance": f"performance?{_MONTH}",
        "performance by campaign": f"performance?{_MONTH}&dimension=campaign",
        "models": f"models?{_MONTH}",
        "models without direct": f"models?{_MONTH}&leave_out=direct",
        "paths": f"paths?{_MONTH}",
        "funnel": f"funnel?{_MONTH}",
        "conversions": f"conversions?{_MONTH}",
        "conversion": f"conversions/{samples['conversion_id']}",
        "people": "people",
        "person": f"people/{samples['user_id']}",
        "event": f"events/{samples['event_id']}",
        "live": "live",
        "rejected": "rejected",
        "costs": "costs",
        "alerts": "alerts",
        "help": "help",
    }


def p95(found: list[float]) -> float:
    return sorted(found)[math.ceil(len(found) * 0.95) - 1]


def milliseconds(client: httpx.Client, path: str) -> float:
    """How long a read takes, the body included."""
    started = time.perf_counter()
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return (time.perf_counter() - started) * 1000


@dataclass(frozen=True)
class Stage:
    """A browser that is logged in to a console of `process`, and a client of the query service behind it."""

    visitor: Visitor
    process: ChildProcess
    client: httpx.Client
    calls: Calls


@contextmanager
def stage(folder: Path, tables: ClickHouse) -> Iterator[Stage]:
    settings = Settings(
        data_dir=folder,
        query_url=f"http://127.0.0.1:{free_port()}",
        console_port=free_port(),
        count_requests=False,
    )
    store = prepare_people(settings, App(fill.APP_ID, "Bench", goals=DEFAULT_GOALS))
    calls, servers = Calls(create_app(settings, tables)), AppServers()
    servers.start()
    try:
        servers.serve(calls, port=httpx.URL(settings.query_url).port or 0)
        keys = ConsoleKeys(SigningKeyReader(settings).key_of(store.snapshot(now_ms())))
        with (
            httpx.Client(base_url=settings.query_url, timeout=60, trust_env=False, auth=keys) as client,
            _console(settings, folder) as process,
        ):
            visitor = Visitor(f"http://127.0.0.1:{settings.console_port}")
            visitor.client.timeout = 60.0
            visitor.log_in(ADMIN)
            yield Stage(visitor, process, client, calls)
    finally:
        servers.stop()


@contextmanager
def _console(settings: Settings, folder: Path) -> Iterator[ChildProcess]:
    """The console as it is installed, when it is ready."""
    given = {"DATA_DIR": str(folder), "QUERY_URL": settings.query_url, "CONSOLE_PORT": str(settings.console_port)}
    environment = {f"ATTRIKIT_{name}": value for name, value in given.items()}
    with running("console", ["-m", "deploy.cli", "console"], environment, folder) as process:
        address = f"http://127.0.0.1:{settings.console_port}/readyz"
        process.wait_until(lambda: answers(address), READY_SECONDS)
        yield process


def measure_pages(folder: Path, tables: ClickHouse, samples: dict[str, str]) -> list[Figure]:
    figures: list[Figure] = []
    with stage(folder, tables) as found:
        for name, path in pages(samples).items():
            figures += _page(found, name, f"/apps/{fill.APP_ID}/{path}")
        ledger = [milliseconds(found.client, LEDGER) for _ in range(ROUNDS)]
        figures.append(Figure("console, the overview's ledger, p95", p95(ledger), "ms"))
        page = found.visitor.get(f"/apps/{fill.APP_ID}/overview").text
        assets = [found.visitor.get(address).content for address in _ASSET.findall(page)]
        assert len(assets) == 2, "a style sheet and a script"
    packed = sum(len(gzip.compress(one)) for one in assets)
    return [*figures, Figure("console, style and scripts, gzip", packed / 1024, "KB", most=MAX_ASSET_BYTES / 1024)]


def _page(found: Stage, name: str, path: str) -> list[Figure]:
    """Figures of a page: its time beside that of its reports, the console's part of it, and its size."""
    reads = _reads_of(found, path)
    of_page: list[float] = []
    of_reads: list[float] = []
    console_ms = 0.0

    def read_ms(read: str) -> float:
        return milliseconds(found.client, read)

    with ThreadPoolExecutor(max(1, len(reads))) as at_once:
        for _ in range(ROUNDS):
            before = cpu_seconds(found.process.pid)
            of_page.append(milliseconds(found.visitor.client, path))
            console_ms += (cpu_seconds(found.process.pid) - before) * 1000
            of_reads.append(max(at_once.map(read_ms, reads), default=0.0))
    base, size_kb = p95(of_reads), len(found.visitor.get(path).content) / 1024
    print(f"  {name}: {p95(of_page):.0f} ms, {size_kb:.0f} KB; its {len(reads)} reads: {base:.0f} ms", flush=True)
    return [
        Figure(f"console, {name}, its own processor time, mean", console_ms / ROUNDS, "ms"),
        Figure(f"console, {name}, p50, beside its reports", median(of_page), "ms", median(of_reads)),
        Figure(f"console, {name}, p95, beside its reports", p95(of_page), "ms", base, most=base + MARGIN_MS),
        Figure(f"console, {name}, size", size_kb, "KB", most=MAX_PAGE_BYTES / 1024),
    ]


def _reads_of(found: Stage, path: str) -> list[str]:
    """Return what a page asks the query service for, once a first one was made."""
    found.visitor.get(path)
    found.calls.noted.clear()
    found.visitor.get(path)
    return list(dict.fromkeys(found.calls.noted))


def measure_live(folder: Path) -> list[Figure]:
    """Figures of an event from its report to its row on the screen; none without a browser."""
    if missing := chromium_is_missing():
        print(f"  no live events: {missing}", flush=True)
        return []
    product = Product(folder / "live")
    product.start()
    try:
        with chromium() as browser:
            found = _live(browser.new_context(locale="en").new_page(), product)
    finally:
        product.stop()
    print(f"  a live event: {median(found):.0f} ms, p95 {p95(found):.0f} ms", flush=True)
    return [
        Figure("console, a live event on the screen, p50", median(found), "ms"),
        Figure("console, a live event on the screen, p95", p95(found), "ms", most=MAX_LIVE_MS),
    ]


def _live(page: Any, product: Product) -> list[float]:
    page.goto(product.admin_link)
    for field in page.locator("input[type=password]").all():
        field.fill(_PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/apps/**")
    page.goto(f"{product.console_url}/apps/demo/live")
    page.locator("[data-state].good").wait_for()
    headers, found = {"Authorization": f"Bearer {product.key}"}, []
    with httpx.Client(base_url=product.base_url, headers=headers, trust_env=False) as client:
        for number in range(LIVE_EVENTS):
            event = {"event_name": "page_view", "anonymous_id": f"live-visitor-{number}-"}
            started = time.perf_counter()
            client.post("/v1/events/track", json=event).raise_for_status()
            page.locator("[data-rows] tr", has_text=event["anonymous_id"]).wait_for()
            found.append((time.perf_counter() - started) * 1000)
    return found


async def _filled(tables: ClickHouse) -> dict[str, str]:
    """Fill the tables if they are not, and return ids of one person in them."""
    await migrate(tables)
    [(count,)] = await tables.query(f"SELECT count() FROM events WHERE app_id = '{fill.APP_ID}'")
    if count < EVENTS:
        await fill.fill(tables, EVENTS)
        await fill.fill(tables, EVENTS // 20, fill.OTHER_APP_ID)
    return await sample(tables)


def run_all(folder: Path, kept: Path) -> list[Figure]:
    tables = ClickHouse.open(Settings(data_dir=kept))
    try:
        return measure_pages(folder, tables, asyncio.run(_filled(tables))) + measure_live(folder)
    finally:
        tables.close()


def run() -> list[Figure]:
    configure_logging("bench", "warning")
    with tempfile.TemporaryDirectory() as folder:
        return run_all(Path(folder), Path(os.environ.get("FILL_DIR") or folder))


if __name__ == "__main__":
    for figure in run():
        print(figure.json_line(), flush=True)
