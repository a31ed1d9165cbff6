"""Pages of the console over ten million events (`fill`), each beside the reports it reads; and a live event.

A page may take 50 ms longer than its reports, at p95. Its reports are what it asks the query service for while it is
made: they are noted, and asked for again, all at once, in turn with the page, so that both have the same machine.
The processor time beyond that of the reports is the console's own part, which other work on the machine hardly changes.
Pages, style and scripts have a greatest size. Of a live event: the time from its report to its row in the browser, with
the whole product.

`FILL_EVENTS` makes it another number of events; `FILL_DIR` keeps the tables there, filled once, for the next run.
"""

import asyncio
import gzip
import math
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fill
import httpx
from figures import Figure
from read_bench import EVENTS, sample

from deploy.demo.product import Product
from deploy.local.ports import free_port
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
from console_world import ADMIN, NOW_MS, ConsoleWorld, Visitor, make_console

ROUNDS = 40
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

    def __init__(self, world: ConsoleWorld) -> None:
        self._signing_keys = SigningKeyReader(world.settings)
        self._snapshot = world.app.state.console.snapshots.current

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
        key = make_console_key(self._signing_keys.key_of(self._snapshot()), fill.APP_ID, now_ms() + LIFE_MS // 2)
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


@contextmanager
def console(folder: Path, tables: ClickHouse) -> Iterator[tuple[Visitor, httpx.Client, Calls]]:
    """A console for a browser that is logged in, with the query service behind it, and a client of that."""
    port = free_port()
    settings = Settings(
        data_dir=folder / "control", query_url=f"http://127.0.0.1:{port}", count_requests=False, operator_token="op"
    )
    calls = Calls(create_app(settings, tables))
    servers = AppServers()
    servers.start()
    try:
        world = make_console(settings, servers)
        world.store.create_app(App(fill.APP_ID, "Bench", goals=DEFAULT_GOALS), NOW_MS)
        servers.serve(calls, port=port)
        keys = ConsoleKeys(world)
        with httpx.Client(base_url=settings.query_url, timeout=60, trust_env=False, auth=keys) as client:
            visitor = world.visitor(ADMIN)
            visitor.client.timeout = 60.0
            _wait_until_known(visitor)
            yield visitor, client, calls
    finally:
        servers.stop()


def _wait_until_known(visitor: Visitor) -> None:
    for _ in range(120):
        if visitor.get(f"/apps/{fill.APP_ID}/goals").status_code == 200:
            return
        time.sleep(0.5)
    raise TimeoutError("the console does not know the app")


def measure_pages(folder: Path, tables: ClickHouse, samples: dict[str, str]) -> list[Figure]:
    figures: list[Figure] = []
    with console(folder, tables) as (visitor, client, calls):
        for name, path in pages(samples).items():
            figures += _page(visitor, client, calls, name, f"/apps/{fill.APP_ID}/{path}")
        ledger = [milliseconds(client, LEDGER) for _ in range(ROUNDS)]
        figures.append(Figure("console, the overview's ledger, p95", p95(ledger), "ms"))
        page = visitor.get(f"/apps/{fill.APP_ID}/overview").text
        assets = [visitor.get(address).content for address in _ASSET.findall(page)]
        assert len(assets) == 2, "a style sheet and a script"
    packed = sum(len(gzip.compress(one)) for one in assets)
    return [*figures, Figure("console, style and scripts, gzip", packed / 1024, "KB", most=MAX_ASSET_BYTES / 1024)]


def processor_ms(work: Callable[[], object]) -> float:
    """Processor time of this process, in which console, query service and tables are."""
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1000


def _page(visitor: Visitor, client: httpx.Client, calls: Calls, name: str, path: str) -> list[Figure]:
    """Figures of a page: its time beside that of its reports, and its size."""
    size = 0
    for _ in range(2):  # the first ones are left out
        calls.noted.clear()
        size = len(visitor.get(path).content)
    reads = list(dict.fromkeys(calls.noted))
    of_page: list[float] = []
    of_reads: list[float] = []
    own_part: list[float] = []

    def read_ms(read: str) -> float:
        return milliseconds(client, read)

    with ThreadPoolExecutor(max(1, len(reads))) as at_once:
        for _ in range(ROUNDS):
            whole = processor_ms(lambda: of_page.append(milliseconds(visitor.client, path)))
            spent = processor_ms(lambda: of_reads.append(max(at_once.map(read_ms, reads), default=0.0)))
            own_part.append(whole - spent)
    base, own = p95(of_reads), statistics.median(own_part)
    print(f"  {name}: {p95(of_page):.0f} ms, {size / 1024:.0f} KB; its {len(reads)} reads: {base:.0f} ms", flush=True)
    return [
        Figure(f"console, {name}, its own processor time, p50", own, "ms", most=MARGIN_MS),
        Figure(f"console, {name}, p95, beside its reports", p95(of_page), "ms", base, most=base + MARGIN_MS),
        Figure(f"console, {name}, size", size / 1024, "KB", most=MAX_PAGE_BYTES / 1024),
    ]


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
    print(f"  a live event: {statistics.median(found):.0f} ms, p95 {p95(found):.0f} ms", flush=True)
    return [
        Figure("console, a live event on the screen, p50", statistics.median(found), "ms"),
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
