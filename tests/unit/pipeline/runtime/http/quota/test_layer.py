"""The layer around a FastAPI service."""

from collections.abc import AsyncIterator
from hashlib import sha256

import httpx
import pytest
from fastapi import FastAPI

from pipeline.control import SnapshotNotLoaded
from schemas.control import ApiKey, App, Plan, Scope, Snapshot
from services.web.handlers import install_handlers, success_response
from services.web.middleware import EnvelopeMiddleware
from services.web.quota import CountRequests, Quota, rules
from services.web.quota.counters import LocalCounter

NAMES = {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"}


class Plane:
    is_loaded = True

    def current(self) -> Snapshot:
        if not self.is_loaded:
            raise SnapshotNotLoaded("not yet")
        digests = {name: sha256(name.encode()).hexdigest() for name in ("free", "enterprise")}
        keys = {digest: ApiKey(name, name, digest, frozenset({Scope.READ})) for name, digest in digests.items()}
        return Snapshot({name: App(name, name, Plan(name)) for name in digests}, keys, 0)


@pytest.fixture
def plane() -> Plane:
    return Plane()


@pytest.fixture
async def client(plane: Plane) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()

    @app.get("/v1/things")
    async def things() -> object:
        return success_response([])

    @app.get("/v1/crash")
    async def crash() -> object:
        raise RuntimeError

    install_handlers(app)
    app.add_middleware(CountRequests, quota=Quota(LocalCounter()), snapshots=plane)
    app.add_middleware(EnvelopeMiddleware, service="test")
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": "Bearer free"}
    async with httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers) as opened:
        yield opened


async def test_every_answer_says_what_is_left(client: httpx.AsyncClient) -> None:
    found = [await client.get(path) for path in ("/v1/things", "/v1/nothing", "/v1/crash")]
    found.append(await client.post("/v1/things"))
    assert [response.status_code for response in found] == [200, 404, 500, 405]
    assert [response.headers.get_list("ratelimit-remaining") for response in found] == [
        ["999"],
        ["998"],
        ["997"],
        ["996"],
    ]


async def test_past_the_limit(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rules.REQUESTS_A_DAY, Plan.FREE, 1)
    assert (await client.get("/v1/things")).status_code == 200
    refused = await client.get("/v1/things", headers={"Accept-Language": "en", "X-Request-Id": "mine"})
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert refused.json()["error"]["message"] == "The plan's request limit is used up"
    assert refused.headers["x-request-id"] == "mine"
    assert refused.headers["retry-after"] == refused.headers["ratelimit-reset"]
    assert refused.headers.get_list("ratelimit-remaining") == ["0"]
    assert (await client.get("/v1/things", headers={"Authorization": "Bearer enterprise"})).status_code == 200


@pytest.mark.parametrize("key", ["enterprise", "unknown", ""])
async def test_who_has_no_limit_is_told_of_none(client: httpx.AsyncClient, key: str) -> None:
    response = await client.get("/v1/things", headers={"Authorization": f"Bearer {key}"})
    assert not NAMES & set(response.headers)


async def test_without_a_control_plane_nothing_counts(client: httpx.AsyncClient, plane: Plane) -> None:
    plane.is_loaded = False
    assert not NAMES & set((await client.get("/v1/things")).headers)
    plane.is_loaded = True
    assert (await client.get("/v1/things")).headers["ratelimit-remaining"] == "999"
