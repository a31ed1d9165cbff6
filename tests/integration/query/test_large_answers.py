"""Answers too large to be held whole: read and sent piece by piece, and charged to their app."""

from datetime import date
from typing import Any

import httpx
import pytest
from loop_steps import TRIES, watched_steps

from pipeline.runtime.clickhouse import ClickHouse
from schemas.events import AcceptedEvent
from schemas.facts import CostRow, RejectedRow, encode_rows
from services.query.app import create_app
from services.query.core import reader
from services.web.budget import Budget, Payer

FIRST_MS = 1_705_276_800_000
PAYLOADS = {f"large{n}": str(n) * 10_000 for n in range(7)} | {"small": "{}"}
LISTS = ("events?limit=1000", "users?limit=1000", "conversions?limit=1000", "events?limit=5", "users?limit=3")


class WatchedBudget(Budget):
    """A budget that remembers the most it has held."""

    peak_bytes = 0

    def take(self, payer: Payer, size_bytes: int) -> bool:
        is_taken = super().take(payer, size_bytes)
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        return is_taken


@pytest.fixture
def budget(query_app: Any, monkeypatch: pytest.MonkeyPatch) -> WatchedBudget:
    watched = WatchedBudget(1 << 30)
    monkeypatch.setattr(query_app.state.reader, "budget", watched)
    return watched


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "PIECE_BYTES", 500)
    monkeypatch.setattr(reader, "CUT_BYTES", 3_000)


@pytest.mark.parametrize("path", LISTS)
async def test_a_list_is_the_same_in_pieces(
    client: httpx.AsyncClient, budget: WatchedBudget, path: str, request: pytest.FixtureRequest
) -> None:
    headers = {"Authorization": "Bearer ak_test_alpha"}
    whole = await client.get(f"/v1/{path}", headers=headers)
    whole_bytes, budget.peak_bytes = budget.peak_bytes, 0
    request.getfixturevalue("small_pieces")
    cut = await client.get(f"/v1/{path}", headers=headers)
    assert cut.json()["data"]["items"] == whole.json()["data"]["items"] != []
    assert cut.json()["data"]["next_cursor"] == whole.json()["data"]["next_cursor"]
    is_large = len(whole.content) > 10_000
    assert ("content-length" in cut.headers) is not is_large
    assert budget.peak_bytes < (max(whole_bytes // 4, 20_000) if is_large else whole_bytes + 1)
    assert budget.used_bytes == 0


async def test_pages_of_large_rows_go_on_where_they_end(
    clickhouse: ClickHouse, query_app: Any, connect: Any, make_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        RejectedRow("beta", name, FIRST_MS - n, "gateway", "C", "large", "why", payload)
        for n, (name, payload) in enumerate(PAYLOADS.items())
    ]
    await clickhouse.insert_ndjson("rejected", encode_rows(rows))
    monkeypatch.setattr(reader, "CUT_BYTES", 25_000)
    monkeypatch.setattr(reader, "PIECE_BYTES", 1_000)
    app = create_app(make_settings(), clickhouse, query_app.state.snapshots)
    walked: list[Any] = []
    cursor = None
    async with connect(app) as client:
        while not walked or cursor:
            parameters = {"limit": 5, "field": "large"} | ({"cursor": cursor} if cursor else {})
            headers = {"Authorization": "Bearer ak_test_beta"}
            page = (await client.get("/v1/events/rejected", params=parameters, headers=headers)).json()["data"]
            assert len(page["items"]) == (5 if page["next_cursor"] else 3)
            walked += page["items"]
            cursor = page["next_cursor"]
    assert {item["reject_id"]: item["payload"] for item in walked} == PAYLOADS


@pytest.fixture
async def large(facts: ClickHouse) -> None:
    """An app with long lists and a long report."""
    events = [
        AcceptedEvent("large", f"e{n}", "page_view", FIRST_MS + n, FIRST_MS * 1_000, anonymous_id=f"a{n}")
        for n in range(1_000)
    ]
    costs = [
        CostRow("large", date(2024, 1, 15), "feed", f"campaign {n}", n, "CNY", FIRST_MS, FIRST_MS) for n in range(3_000)
    ]
    await facts.insert_ndjson("events", encode_rows(events))
    await facts.insert_ndjson("spend", encode_rows(costs))


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("path", "count"),
    [("events?limit=1000", 1_000), ("costs?limit=1000", 1_000), ("reports/performance?dimension=campaign", 3_000)],
)
async def test_no_answer_holds_the_event_loop(client: httpx.AsyncClient, path: str, count: int) -> None:
    with watched_steps() as steps:
        for _ in range(TRIES):
            steps.clear()
            answer = await client.get(f"/v1/{path}", headers={"Authorization": "Bearer ak_test_large"})
            if steps.are_short():
                break
    assert len(answer.json()["data"]["items"]) == count
    assert steps.are_short(), max(steps)


@pytest.mark.parametrize("path", ["events?limit=1000", "reports/performance?granularity=day"])
async def test_an_app_whose_answers_hold_too_much_is_told_so(
    client: httpx.AsyncClient, query_app: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    small = Budget(16_000)
    monkeypatch.setattr(query_app.state.reader, "budget", small)
    headers = {"Authorization": "Bearer ak_test_alpha", "Accept-Language": "en"}
    refused = await client.get(f"/v1/{path}", headers=headers)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert error["code"] == "RATE_LIMIT_EXCEEDED"
    assert "ask for less" in error["message"]
    assert int(refused.headers["retry-after"]) > 0
    assert small.used_bytes == 0
    assert (await client.get("/v1/events?limit=1", headers=headers)).status_code == 200
