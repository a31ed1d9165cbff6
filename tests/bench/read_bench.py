"""Every read endpoint over ten million events (`fill`), through the query service and chDB in this process.

`FILL_EVENTS` makes it another number; `FILL_DIR` keeps the tables there, filled once, for the next run.
"""

import asyncio
import os
import statistics
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import fill
import httpx
from figures import Figure

from pipeline.runtime.clickhouse import ClickHouse, migrate
from pipeline.runtime.log import configure_logging
from pipeline.runtime.settings import Settings
from schemas.control import DEFAULT_GOALS, ApiKey, App, Scope, Snapshot
from services.query.app import create_app

EVENTS = int(os.environ.get("FILL_EVENTS", "10000000"))
KEY = "ak_test_bench"
LIST_ROUNDS, REPORT_ROUNDS = 40, 12
_MONTH = {"from": "2024-02-01", "to": "2024-02-29"}


class Snapshots:
    """One app, one key."""

    def note_use(self, key_id: str) -> None:
        """Nobody asks."""

    def current(self) -> Snapshot:
        digest = sha256(KEY.encode()).hexdigest()
        key = ApiKey("k", fill.APP_ID, digest, frozenset({Scope.READ}))
        app = App(fill.APP_ID, "Bench", goals=DEFAULT_GOALS)
        return Snapshot({fill.APP_ID: app}, {digest: key}, 0, signing_key=b"bench".hex())


def lists(samples: dict[str, str]) -> dict[str, tuple[str, dict[str, Any]]]:
    return {
        "events": ("/v1/events", {}),
        "events of a name": ("/v1/events", {"event_name": "purchase"}),
        "events of a user": ("/v1/events", {"user_id": samples["user_id"]}),
        "events with a property": ("/v1/events", {"property.sku": samples["sku"]}),
        "events of a session": ("/v1/events", {"session_id": samples["session_id"]}),
        "events, thousand of a month": ("/v1/events", {"limit": 1000, **_MONTH}),
        "event": (f"/v1/events/{samples['event_id']}", {}),
        "rejected": ("/v1/events/rejected", {}),
        "conversions": ("/v1/conversions", {}),
        "conversions above a value": ("/v1/conversions", {"goal": "purchase", "min_value": 900}),
        "attribution of a conversion": ("/v1/attribution", {"conversion_id": samples["conversion_id"]}),
        "users": ("/v1/users", {}),
        "users of a month": ("/v1/users", _MONTH),
        "user": (f"/v1/users/{samples['user_id']}", {}),
        "events of one user": (f"/v1/users/{samples['user_id']}/events", {}),
    }


def reports() -> dict[str, tuple[str, dict[str, Any]]]:
    return {
        "attribution, all models": ("/v1/attribution", {}),
        "attribution by campaign, a month": ("/v1/attribution", {"dimension": "campaign", **_MONTH}),
        "performance": ("/v1/reports/performance", {}),
        "performance, one model": ("/v1/reports/performance", {"model": "linear"}),
        "performance by day": ("/v1/reports/performance", {"granularity": "day", "model": "linear"}),
        "performance of a month, compared": ("/v1/reports/performance", {"compare": "previous_period", **_MONTH}),
        "conversion": ("/v1/reports/conversion", {}),
        "conversion of a month": ("/v1/reports/conversion", _MONTH),
        "conversion with a funnel, a month": (
            "/v1/reports/conversion",
            {"steps": "page_view,add_to_cart,purchase", **_MONTH},
        ),
    }


async def sample(clickhouse: ClickHouse) -> dict[str, str]:
    """Ids of somebody in the middle of the time."""
    middle = fill.FIRST_MS + fill.DAYS * 43_200_000
    sql = (
        "SELECT user_id, event_id, JSONExtractString(properties, 'sku') AS sku, session_id, conversion_id FROM events"
        " JOIN conversions USING (app_id, event_id)"
        f" WHERE app_id = '{fill.APP_ID}' AND timestamp_ms > {middle} AND events.user_id != '' LIMIT 1"
    )
    row = (await clickhouse.query_dicts(sql))[0]
    return {name: str(value) for name, value in row.items()}


async def measure(client: httpx.AsyncClient, path: str, parameters: dict[str, Any], rounds: int) -> list[float]:
    """Milliseconds of each round, the first ones left out."""
    found = []
    for number in range(rounds + 2):
        started = time.perf_counter()
        answer = await client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        if number >= 2:
            found.append((time.perf_counter() - started) * 1000)
    return sorted(found)


async def _deep_page(client: httpx.AsyncClient, path: str, pages: int) -> dict[str, Any]:
    """Parameters of a page after `pages` others."""
    cursor = None
    for _ in range(pages):
        answer = await client.get(path, params={"limit": 1000} | ({"cursor": cursor} if cursor else {}))
        cursor = answer.json()["data"]["next_cursor"]
    return {"cursor": cursor}


async def run_all(data_dir: Path) -> list[Figure]:
    clickhouse = ClickHouse.open(Settings(data_dir=data_dir))
    figures = []
    try:
        await migrate(clickhouse)
        [(count,)] = await clickhouse.query(f"SELECT count() FROM events WHERE app_id = '{fill.APP_ID}'")
        if count < EVENTS:
            seconds = await fill.fill(clickhouse, EVENTS) + await fill.fill(clickhouse, EVENTS // 20, fill.OTHER_APP_ID)
            figures.append(Figure("read, filling the tables", seconds, "s"))
        app = create_app(Settings(data_dir=data_dir, count_requests=False), clickhouse, Snapshots())
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://query", headers=headers) as client:
            asked = lists(await sample(clickhouse))
            asked["events, page 51"] = ("/v1/events", await _deep_page(client, "/v1/events", 5))
            for rounds, questions in ((LIST_ROUNDS, asked), (REPORT_ROUNDS, reports())):
                for name, (path, parameters) in questions.items():
                    figures += _figures(name, await measure(client, path, parameters, rounds))
    finally:
        clickhouse.close()
    return figures


def _figures(name: str, found: list[float]) -> list[Figure]:
    print(f"  {name}: {statistics.median(found):.0f} ms", flush=True)
    p99 = found[min(len(found) - 1, int(len(found) * 0.99))]
    return [Figure(f"read, {name}, p50", statistics.median(found), "ms"), Figure(f"read, {name}, p99", p99, "ms")]


def run() -> list[Figure]:
    configure_logging("bench", "warning")
    kept = os.environ.get("FILL_DIR")
    if kept:
        return asyncio.run(run_all(Path(kept)))
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run_all(Path(folder)))


if __name__ == "__main__":
    for figure in run():
        print(figure.json_line(), flush=True)
