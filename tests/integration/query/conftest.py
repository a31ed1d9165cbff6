"""The query service over a real ClickHouse engine with two apps' facts in it.

`alpha`, `beta`  the facts of the two apps (see `query_world`); nobody may change them or add rows to their apps
`ask`            GETs a path with alpha's key and gives the answer's `data`, numbers as Decimal, checked against the
                 model the OpenAPI document names
`client`         an HTTP client of the service; keys are `KEYS`
`connect`        the same for an application of the test's own
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from export_world import served
from fastapi import FastAPI
from pydantic import SecretStr, TypeAdapter
from query_world import APP_GOALS, SIGNING_KEY, World, insert_world, make_world

from pipeline.control import ControlPlane, migrate_control_plane
from pipeline.runtime.clickhouse import ClickHouse, migrate
from pipeline.runtime.settings import Settings
from schemas.control import ApiKey, App, AttributionSettings, Scope, Snapshot
from schemas.facts import TouchType
from services.query.app import create_app
from services.query.attribution.answers import AttributionPath, AttributionReport
from services.query.conversions.answers import ConversionList
from services.query.costs.answers import CostList
from services.query.events.answers import EventDetail, EventList
from services.query.exports import jobs
from services.query.rejected.answers import RejectedList
from services.query.reports.conversion.answers import ConversionReport
from services.query.reports.performance.answers import PerformanceReport
from services.query.users.answers import UserDetail, UserList
from services.query.users.journeys import UserJourney

KEYS = {
    "alpha": "ak_test_alpha",
    "beta": "ak_test_beta",
    "write": "ak_test_write",
    "revoked": "ak_test_revoked",
    "empty": "ak_test_empty",
    "demo": "ak_test_demo",
    "log": "ak_test_log",
    "flow": "ak_test_flow",
    "walk": "ak_test_walk",
    "spend": "ak_test_spend",
    "bots": "ak_test_bots",
    "large": "ak_test_large",
    "left": "ak_test_left",
}
SERVER_URL = "ATTRIKIT_TEST_CLICKHOUSE_URL"
SHARDED_CLUSTER = "ATTRIKIT_TEST_CLICKHOUSE_CLUSTER"
"""Name of the cluster that the server is one of, if it is of one: its tables have shards."""
OWN = ("demo", "log", "flow", "walk", "spend", "bots", "large", "left")
"""Apps of one test each."""
MODELS = {
    "events": EventList,
    "events/rejected": RejectedList,
    "events/{}": EventDetail,
    "conversions": ConversionList,
    "attribution": AttributionReport | AttributionPath,
    "costs": CostList,
    "users": UserList,
    "users/{}": UserDetail,
    "users/{}/events": EventList,
    "users/{}/journey": UserJourney,
    "reports/performance": PerformanceReport,
    "reports/conversion": ConversionReport,
}
Ask = Callable[..., Awaitable[Any]]


class FixedSnapshots:
    """A control plane that knows three apps."""

    def note_use(self, key_id: str) -> None:
        """Nobody asks."""

    def current(self) -> Snapshot:
        apps = {name: App(name, name, goals=APP_GOALS) for name in ("alpha", "beta", "empty", *OWN)}
        keys = [
            ApiKey("k1", "alpha", _hash("alpha"), frozenset({Scope.READ, Scope.WRITE})),
            ApiKey("k2", "beta", _hash("beta"), frozenset({Scope.READ})),
            ApiKey("k3", "alpha", _hash("write"), frozenset({Scope.WRITE})),
            ApiKey("k4", "alpha", _hash("revoked"), frozenset({Scope.READ}), is_revoked=True),
            *(ApiKey(f"k_{name}", name, _hash(name), frozenset({Scope.READ})) for name in OWN),
            ApiKey("k5", "empty", _hash("empty"), frozenset({Scope.READ})),
        ]
        days = dict.fromkeys(TouchType, 7)
        versions = {("alpha", 5): AttributionSettings(window_days=days), ("beta", 5): AttributionSettings()}
        by_hash = {key.secret_sha256: key for key in keys}
        return Snapshot(apps, by_hash, 0, signing_key=SIGNING_KEY.hex(), attribution_versions=versions)


def _hash(name: str) -> str:
    return sha256(KEYS[name].encode()).hexdigest()


@pytest.fixture(scope="session")
def alpha() -> World:
    return make_world("alpha", seed=1)


@pytest.fixture(scope="session")
def beta() -> World:
    return make_world("beta", seed=2, persons=10)


@pytest.fixture(scope="session")
def query_settings(clickhouse_dir: Path) -> Settings:
    """chDB, or the server `test_over_http` names in a run of its own."""
    url, cluster = os.environ.get(SERVER_URL, ""), os.environ.get(SHARDED_CLUSTER, "")
    return Settings(
        data_dir=clickhouse_dir,
        database="query_tests",
        clickhouse_url=url,
        clickhouse_cluster=cluster,
        clickhouse_sharded=bool(cluster),
        public_metrics=True,
    )


@pytest.fixture(scope="session")
def facts(query_settings: Settings, alpha: World, beta: World) -> Iterator[ClickHouse]:
    opened = ClickHouse.open(query_settings)

    async def fill() -> None:
        await migrate(opened)
        await insert_world(opened, alpha)
        await insert_world(opened, beta)

    asyncio.run(fill())
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def query_app(query_settings: Settings, facts: ClickHouse) -> FastAPI:
    """Shared: a test that changes its state builds its own with `create_app`."""
    return create_app(query_settings, facts, FixedSnapshots())


@pytest.fixture(scope="session")
def connect() -> Callable[[FastAPI], httpx.AsyncClient]:
    return lambda app: httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://query", trust_env=False)


@pytest.fixture
async def client(query_app: FastAPI, connect: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(query_app) as opened:
        yield opened


@pytest.fixture
def ask(client: httpx.AsyncClient) -> Ask:
    async def get(path: str, *segments: str, key: str = "alpha", **parameters: Any) -> Any:
        wanted = {name.rstrip("_"): value for name, value in parameters.items() if value is not None}
        headers = {"Authorization": f"Bearer {KEYS[key]}"}
        answer = await client.get(f"/v1/{path.format(*segments)}", params=wanted, headers=headers)
        assert answer.status_code == 200, answer.text
        body = json.loads(answer.content, parse_float=Decimal)
        assert set(body) == {"success", "data"}
        assert body["success"] is True
        TypeAdapter(MODELS[path]).validate_python(body["data"], extra="forbid")
        return body["data"]

    return get


@pytest.fixture(scope="module")
def export_settings(query_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A control plane and a storage of their own beside the shared facts."""
    folder = tmp_path_factory.mktemp("exports")
    dsn = f"sqlite:///{folder}/control.db"
    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    for name in ("alpha", "beta", "empty"):
        store.create_app(App(name, name, goals=APP_GOALS), 1)
    store.close()
    urls = {"control_plane_url": dsn, "export_url": (folder / "files").as_uri()}
    return query_settings.model_copy(update={name: SecretStr(url) for name, url in urls.items()})


@pytest.fixture
async def running(
    export_settings: Settings, facts: ClickHouse, query_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Any]]:
    """Starts a query service, with a client; `**changes` to the settings."""
    monkeypatch.setattr(jobs, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(jobs, "_RENEW_SECONDS", 0.05)
    (Path(urlsplit(export_settings.export_url.get_secret_value()).path)).mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> httpx.AsyncClient:
            settings = export_settings.model_copy(update=changes)
            app = create_app(settings, facts, query_app.state.snapshots)
            return await stack.enter_async_context(served(app))

        yield start
