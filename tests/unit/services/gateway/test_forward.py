"""Requests forwarded to a query service (an ASGI application here)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from services.gateway.app import Gateway
from services.gateway.forward import FORWARDED_AT_ONCE, MAX_BODY_BYTES, Forwarder


class BrokenTransport(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)


@pytest.fixture
def query() -> FastAPI:
    app = FastAPI()

    @app.get("/v1/echo/{rest:path}")
    @app.post("/v1/echo/{rest:path}")
    async def echo(request: Request) -> JSONResponse:
        headers = [(name.decode(), value.decode()) for name, value in request.headers.raw]
        body = (await request.body()).decode()
        raw = request.scope["raw_path"].decode()
        answer = {"method": request.method, "path": raw, "query": request.url.query, "headers": headers, "body": body}
        return JSONResponse(answer, 202, {"X-Extra": "kept", "X-Request-Id": "theirs", "Connection": "close"})

    @app.get("/v1/stream")
    async def stream() -> StreamingResponse:
        async def rows() -> AsyncIterator[bytes]:
            for number in range(100):
                yield b"%d\n" % number

        return StreamingResponse(rows(), media_type="text/csv")

    @app.get("/v1/events/{event_id}", responses={404: {"description": "none"}})
    async def event(event_id: str) -> dict[str, str]:
        return {"event_id": event_id}

    return app


@pytest.fixture
def forwarding(
    make_app: Callable[..., Gateway],
    make_client: Callable[[FastAPI], httpx.AsyncClient],
    query: FastAPI,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[httpx.AsyncBaseTransport], httpx.AsyncClient]:
    def make(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
        monkeypatch.setattr("services.gateway.app.Forwarder", lambda *parts: Forwarder(*parts, transport))
        return make_client(make_app(query_url="http://query:1234"))

    return make


@pytest.fixture
async def client(
    forwarding: Callable[[httpx.AsyncBaseTransport], httpx.AsyncClient], query: FastAPI
) -> AsyncIterator[httpx.AsyncClient]:
    async with forwarding(httpx.ASGITransport(query)) as opened:
        yield opened


def echoed(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 202
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.parametrize(
    "path",
    [
        "/operator/ledger",
        "/x/../operator/ledger",
        "/x/%2e%2e/operator/ledger",
        "//operator/ledger",
        "/%6fperator/ledger",
        "/v1/../operator/ledger",
        "/v1/%2e%2e%2foperator/ledger",
        "/v1\\..\\..\\operator\\ledger",
        "/v1/./echo/x",
        "/v1//echo/x",
        "/metrics/x",
    ],
)
async def test_what_is_not_of_the_api_is_never_forwarded(
    forwarding: Callable[[httpx.AsyncBaseTransport], httpx.AsyncClient], query: FastAPI, path: str
) -> None:
    """The target goes into the scope as it is: a client would settle it first."""
    transport = CountingTransport(query)

    class Target(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            app = self.app

            async def with_target(scope: Any, receive: Any, send: Any) -> None:
                await app(scope | {"path": unquote(path), "raw_path": path.encode()}, receive, send)

            return await httpx.ASGITransport(with_target).handle_async_request(request)

    gateway: Any = forwarding(transport)
    async with httpx.AsyncClient(transport=Target(gateway._transport.app), base_url="http://gateway") as client:
        response = await client.get("/")
    assert (response.status_code, transport.requests) == (404, 0)


async def test_method_path_query_body_and_headers_arrive_as_they_were(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/v1/echo/a%7Eb/%E9%A6%96?x=1&x=%20&property.a=b", content=b"body", headers={"X-A": "1", "Connection": "close"}
    )
    seen = echoed(response)
    assert (seen["method"], seen["path"], seen["query"], seen["body"]) == (
        "POST",
        "/v1/echo/a~b/%E9%A6%96",
        "x=1&x=%20&property.a=b",
        "body",
    )
    headers = dict(seen["headers"])
    assert headers["x-a"] == "1"
    assert headers["authorization"] == "Bearer ak_test_write"
    assert headers["host"] == "query:1234"
    assert headers["x-forwarded-for"] == "198.51.100.7"
    assert headers["x-forwarded-host"] == "gateway"
    assert headers["x-request-id"] == response.headers["x-request-id"]
    assert headers["connection"] == "keep-alive"  # of the connection between the two services
    assert "transfer-encoding" not in headers


async def test_the_answer_comes_back_without_hop_by_hop_headers(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/echo/x", headers={"X-Request-Id": "mine"})
    assert echoed(response)["body"] == ""
    assert response.headers["x-extra"] == "kept"
    assert response.headers.get_list("x-request-id") == ["mine"]
    assert "connection" not in response.headers


class CountingTransport(httpx.ASGITransport):
    requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return await super().handle_async_request(request)


async def test_no_connection_is_held_for_a_body_that_does_not_come(
    forwarding: Callable[[httpx.AsyncBaseTransport], httpx.AsyncClient], query: FastAPI
) -> None:
    transport = CountingTransport(query)
    arrived = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await arrived.wait()
        yield b"}"

    client = forwarding(transport)
    waiting = asyncio.create_task(client.post("/v1/echo/a", content=body()))
    other = await client.get("/v1/echo/b")
    assert (other.status_code, transport.requests) == (202, 1)
    arrived.set()
    assert ((await waiting).status_code, transport.requests) == (202, 2)


class HoldingTransport(httpx.ASGITransport):
    """Answers once it is let go."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(app)
        self.requests = 0
        self.let_go = asyncio.Event()
        self.came = asyncio.Condition()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        async with self.came:
            self.came.notify_all()
        await self.let_go.wait()
        return await super().handle_async_request(request)


async def test_an_app_is_forwarded_a_few_at_once_beside_others(
    forwarding: Callable[[httpx.AsyncBaseTransport], httpx.AsyncClient], query: FastAPI
) -> None:
    transport = HoldingTransport(query)
    async with forwarding(transport) as client, asyncio.timeout(30):
        many = [asyncio.create_task(client.get("/v1/echo/a")) for _ in range(2 * FORWARDED_AT_ONCE)]
        async with transport.came:
            await transport.came.wait_for(lambda: transport.requests == FORWARDED_AT_ONCE)
        other = asyncio.create_task(client.get("/v1/echo/b", headers={"Authorization": ""}))
        async with transport.came:
            await transport.came.wait_for(lambda: transport.requests == FORWARDED_AT_ONCE + 1)
        transport.let_go.set()
        assert {(await answer).status_code for answer in [*many, other]} == {202}
    assert transport.requests == 2 * FORWARDED_AT_ONCE + 1


async def test_a_body_no_read_needs_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/echo/a", content=b" " * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "PAYLOAD_TOO_LARGE"


async def test_streams_arrive_whole(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/stream")
    assert response.text == "".join(f"{n}\n" for n in range(100))


async def test_errors_of_the_query_service_are_its_own(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/nothing")).status_code == 404


async def test_reporting_paths_are_never_forwarded(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/events/track")).status_code == 405
    assert (await client.get("/v1/events/evt_1")).json() == {"event_id": "evt_1"}
    assert (await client.get("/healthz")).json()["success"] is True


async def test_a_query_service_that_is_away_is_our_error(
    forwarding: Callable[[httpx.AsyncBaseTransport], httpx.AsyncClient],
) -> None:
    async with forwarding(BrokenTransport()) as client:
        response = await client.get("/v1/events")
        assert response.status_code == 500
        assert response.headers["retry-after"] == "1"
        error = response.json()["error"]
        assert (error["code"], error["details"]["request_id"]) == ("SERVER_ERROR", response.headers["x-request-id"])
        document = (await client.get("/openapi.json")).json()
        assert "/v1/events/track" in document["paths"]


async def test_the_documents_are_merged(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {"/v1/events/track", "/v1/events/{event_id}", "/v1/stream"} <= paths.keys()
