"""Operations, and failures outside any endpoint."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from schemas.control import Snapshot
from services.gateway.app import Ending, Gateway, build_app
from services.gateway.sink import MemorySink
from services.web.request_log import OTHERS_A_SECOND, REFUSALS_A_SECOND, REQUEST_LOG, Sampler


async def test_operations(
    client: httpx.AsyncClient,
    sink: MemorySink,
    make_app: Callable[..., Gateway],
    make_client: Callable[[Any], httpx.AsyncClient],
) -> None:
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).status_code == 200
    sink.is_connected = False
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["error"]["details"]["missing"] == ["broker"]
    assert (await client.get("/healthz")).status_code == 200
    await client.post("/v1/events/track", json={})
    assert (await client.get("/metrics")).status_code == 404
    async with make_client(make_app(metrics_token="m3trics")) as operator:
        metrics = (await operator.get("/metrics", headers={"Authorization": "Bearer m3trics"})).text
        assert (await operator.get("/metrics")).status_code == 401
    assert 'attrikit_gateway_requests_total{route="/v1/events/track",status="400"}' in metrics
    assert "attrikit_gateway_in_flight_bytes 0.0" in metrics


async def test_the_id_of_a_request_finds_its_line_in_the_log(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests before may have used up this second's lines.
    monkeypatch.setattr(REQUEST_LOG, "_others", Sampler(OTHERS_A_SECOND))
    monkeypatch.setattr(REQUEST_LOG, "_refusals", Sampler(REFUSALS_A_SECOND))
    with capture_logs() as logs:
        await client.post("/v1/events/track", json={"event_name": "a"}, headers={"X-Request-Id": "good"})
        await client.post("/v1/events/track", json={"event_name": "A B"}, headers={"X-Request-Id": "bad"})
        await client.get("/v2/nothing", headers={"X-Request-Id": "lost", "Authorization": ""})
    lines = {line["request_id"]: line for line in logs if line["event"] == "request"}
    assert {key: line["status"] for key, line in lines.items()} == {"good": 201, "bad": 400, "lost": 404}
    assert (lines["bad"]["code"], lines["bad"]["app_id"]) == ("INVALID_EVENT_NAME", lines["good"]["app_id"])
    assert (lines["lost"]["route"], lines["lost"]["code"]) == ("other", "NOT_FOUND")


async def test_a_draining_gateway_is_not_ready(
    make_app: Callable[..., Gateway], make_client: Callable[[Any], httpx.AsyncClient]
) -> None:
    app = make_app()
    ending: Ending = app.state.ending
    ending.is_draining = True
    async with make_client(app) as client:
        assert (await client.get("/readyz")).json()["error"]["details"]["missing"] == ["stopping"]
        assert (await client.post("/v1/events/track", json={"event_name": "a"})).status_code == 201


async def test_before_the_control_plane_was_read_nobody_can_be_let_in(
    make_settings: Callable[..., Any], make_client: Callable[[Any], httpx.AsyncClient], make_app: Callable[..., Gateway]
) -> None:
    from pipeline.control import SnapshotNotLoaded
    from services.gateway.publish import Publisher
    from services.web.budget import Budget

    class Unread:
        def current(self) -> Snapshot:
            raise SnapshotNotLoaded("not yet")

        async def start(self) -> None: ...
        async def stop(self) -> None: ...

    app = build_app(make_settings(), Unread(), Publisher(MemorySink(), 4, Budget(1 << 20), 1.0))
    async with make_client(app) as client:
        response = await client.post("/v1/events/track", json={"event_name": "a"})
        assert (response.status_code, response.headers["retry-after"]) == (500, "1")
        assert (await client.get("/readyz")).json()["error"]["details"]["missing"] == ["control plane"]


@pytest.fixture
def app_with(make_app: Callable[..., Gateway]) -> Callable[[Any], Gateway]:
    def make(endpoint: Any) -> Gateway:
        app = make_app()
        app.router.routes.append(Route("/crash", endpoint))
        return app

    return make


async def test_a_crash_outside_the_endpoints_has_the_envelope(
    app_with: Callable[[Any], Gateway], make_client: Callable[[Any], httpx.AsyncClient]
) -> None:
    async def crash(_request: Request) -> Response:
        raise KeyError("secret detail")

    async with make_client(app_with(crash)) as client:
        response = await client.get("/crash", headers={"Accept-Language": "en"})
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "SERVER_ERROR"
        assert response.json()["error"]["details"] == {"request_id": response.headers["x-request-id"]}
        assert "secret" not in response.text


async def test_a_crash_in_the_middle_of_an_answer_breaks_the_connection(
    app_with: Callable[[Any], Gateway], make_client: Callable[[Any], httpx.AsyncClient]
) -> None:
    async def half(_request: Request) -> Response:
        async def parts() -> Any:
            yield b"half"
            raise KeyError("the other half")

        return StreamingResponse(parts())

    async with make_client(app_with(half)) as client:
        with pytest.raises((KeyError, ExceptionGroup)):
            await client.get("/crash")
