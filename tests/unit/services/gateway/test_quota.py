"""Every answer to a limited app says how much is left; past the limit there is a 429, and nothing is stored."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from schemas.control import Plan, Snapshot
from schemas.events import AcceptedEvent
from services.web.quota import rules

READ = {"Authorization": "Bearer ak_test_read"}
EVENT = {"event_name": "page_view"}
NAMES = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")


@pytest.fixture
def snapshot(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, apps={"shop": replace(snapshot.apps["shop"], plan=Plan.FREE)})


def remaining(response: httpx.Response) -> int:
    for name in NAMES:
        assert len(response.headers.get_list(name)) == 1, (name, response.headers)
    assert response.headers["ratelimit-limit"] == "1000"
    assert 1 <= int(response.headers["ratelimit-reset"]) <= 86_400
    return int(response.headers["ratelimit-remaining"])


async def test_whatever_the_answer_it_counts_and_says_what_is_left(
    client: httpx.AsyncClient, sink: Any, make_client: Any
) -> None:
    found = [
        await client.post("/v1/events/track", json=EVENT),
        await client.post("/v1/events/batch", json={"events": [EVENT] * 50}),
        await client.post("/v1/events/batch", json={"events": [{}]}),
        await client.post("/v1/events/track", json={}),
        await client.post("/v1/events/track", json=EVENT, headers=READ),
        await client.get("/v1/events/track"),
        await client.get("/v1/nowhere", headers=READ),
    ]
    sink.is_connected = False
    found.append(await client.post("/v1/events/track", json=EVENT))
    assert [response.status_code for response in found] == [201, 201, 200, 400, 403, 405, 404, 500]
    assert [remaining(response) for response in found] == list(range(999, 991, -1))


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json"])
async def test_outside_the_api_nothing_counts(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == (404 if path == "/metrics" else 200)
    assert not set(NAMES) & set(response.headers)
    assert remaining(await client.post("/v1/events/track", json=EVENT)) == 999


async def test_strangers_and_preflights_count_against_nobody(client: httpx.AsyncClient) -> None:
    stranger = await client.post("/v1/events/track", json=EVENT, headers={"Authorization": "Bearer ak_test_revoked"})
    assert stranger.status_code == 401
    assert not set(NAMES) & set(stranger.headers)
    await client.options("/v1/events/track", headers={"Origin": "https://a.example"})
    assert remaining(await client.post("/v1/events/track", json=EVENT)) == 999


async def test_validation_has_a_rate_of_its_own(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/events/validate", json=EVENT)
    assert response.headers["ratelimit-limit"] == "60"
    assert remaining(await client.post("/v1/events/track", json=EVENT)) == 999


async def test_past_the_limit(
    client: httpx.AsyncClient, stored: Callable[[], list[AcceptedEvent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(rules.REQUESTS_A_DAY, Plan.FREE, 3)
    answers = [await client.post("/v1/events/track", json=EVENT) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429, 429]
    assert len(stored()) == 3
    for refused in (answers[-1], await client.get("/v1/events", headers=READ)):
        assert [refused.headers.get_list(name) for name in NAMES[:2]] == [["3"], ["0"]]
        assert refused.headers["retry-after"] == refused.headers["ratelimit-reset"]
        assert refused.headers["x-request-id"]
        error = refused.json()["error"]
        assert error["code"] == "RATE_LIMIT_EXCEEDED"
        assert error["details"].keys() == {"limit", "plan", "reset_at"}
        assert (error["details"]["limit"], error["details"]["plan"]) == (3, "free")
        assert error["details"]["reset_at"].endswith("T00:00:00Z")
    english = await client.post("/v1/events/track", json=EVENT, headers={"Accept-Language": "en"})
    assert english.json()["error"]["message"] == "The plan's request limit is used up"
    assert (await client.post("/v1/events/validate", json=EVENT)).status_code == 200


async def test_a_process_told_not_to_count_says_nothing(
    make_app: Callable[..., FastAPI], make_client: Callable[[FastAPI], httpx.AsyncClient]
) -> None:
    async with make_client(make_app(count_requests=False)) as client:
        response = await client.post("/v1/events/track", json=EVENT)
        assert not set(NAMES) & set(response.headers)
