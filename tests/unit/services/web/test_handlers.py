from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Query
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException
from structlog.testing import capture_logs

from schemas.errors import ErrorCode
from services.web.errors import NO_PATH
from services.web.handlers import field_path, http_error, install_handlers, validation_error
from services.web.middleware import EnvelopeMiddleware, choose_request_id
from services.web.openapi import complete_document
from services.web.operations import PRIVATE_PORT, MetricsAccess, add_operations


def build(metrics_access: MetricsAccess = PRIVATE_PORT) -> FastAPI:
    app = FastAPI()
    install_handlers(app)
    app.add_middleware(EnvelopeMiddleware, service="test")

    @app.get("/number")
    async def number(n: Annotated[int, Query(ge=1)]) -> int:
        return n

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError("secret")

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"{"
            raise RuntimeError("late")

        return StreamingResponse(body())

    async def readiness() -> list[str]:
        return ["clickhouse"]

    add_operations(app, readiness, metrics_access)
    complete_document(app)
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build()), base_url="http://test") as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "status", "code", "details"),
    [
        ("/nothing", 404, "NOT_FOUND", {"reason": NO_PATH.zh}),
        ("/number", 400, "MISSING_REQUIRED_FIELD", {"field": "n"}),
        ("/number?n=x", 400, "INVALID_PARAMETER", {"field": "n", "reason": "应为整数"}),
        ("/number?n=0", 400, "INVALID_PARAMETER", {"field": "n", "reason": "不能小于 1"}),
    ],
)
async def test_errors_are_envelopes(client: httpx.AsyncClient, path: str, status: int, code: str, details: Any) -> None:
    answer = await client.get(path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["details"] == details
    assert answer.headers["x-request-id"].startswith("req_")


async def test_a_crash_tells_nothing_but_its_request(client: httpx.AsyncClient) -> None:
    with capture_logs() as logs:
        answer = await client.get("/crash", headers={"X-Request-Id": "mine", "Accept-Language": "en"})
    assert answer.status_code == 500
    assert answer.json()["error"]["details"] == {"request_id": "mine"}
    assert "secret" not in answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert [line["event"] for line in logs] == ["request_crashed", "request"]


async def test_a_crash_in_the_middle_of_an_answer_breaks_the_connection(client: httpx.AsyncClient) -> None:
    with capture_logs(), pytest.raises(RuntimeError, match="late"):
        await client.get("/half")


async def test_the_wrong_method_names_the_right_ones(client: httpx.AsyncClient) -> None:
    answer = await client.post("/number")
    assert answer.status_code == 405
    assert answer.json()["error"]["details"] == {"allowed": ["GET"]}
    assert answer.headers["allow"] == "GET"


async def test_operations(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"success": True, "data": {"status": "alive"}}
    ready = await client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["error"]["details"] == {"missing": ["clickhouse"]}
    metrics = (await client.get("/metrics")).text
    assert 'attrikit_http_requests_total{method="GET",route="/readyz",service="test",status="503"} 1.0' in metrics


@pytest.mark.parametrize(
    ("access", "authorization", "status"),
    [
        (MetricsAccess(is_public=True), "", 200),
        (MetricsAccess(is_public=False), "", 404),
        (MetricsAccess(is_public=False), "Bearer ", 404),
        (MetricsAccess(False, "s3cret"), "", 401),
        (MetricsAccess(False, "s3cret"), "Bearer s3cre", 401),
        (MetricsAccess(False, "s3cret"), "Bearer \xe9", 401),
        (MetricsAccess(False, "s3cret"), "Bearer s3cret", 200),
        (MetricsAccess(True, "s3cret"), "", 200),
    ],
)
async def test_metrics_are_for_those_who_may(access: MetricsAccess, authorization: str, status: int) -> None:
    headers = {"Authorization": authorization.encode("latin-1")}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build(access)), base_url="http://test") as client:
        answer = await client.get("/metrics", headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert ("attrikit_http_requests" in answer.text) == (status == 200)


async def test_every_answer_has_a_line_with_its_id(client: httpx.AsyncClient) -> None:
    with capture_logs() as logs:
        for path, request_id in {
            "/nothing": "a-4xx",
            "/number?n=1": "a-2xx",
            "/crash": "a-5xx",
            "/healthz": "quiet",
        }.items():
            await client.get(path, headers={"X-Request-Id": request_id})
    found = {line["request_id"]: line["status"] for line in logs if line["event"] == "request"}
    assert found == {"a-4xx": 404, "a-2xx": 200, "a-5xx": 500}


def test_the_document_has_no_422() -> None:
    document = build().openapi()
    assert set(document["paths"]["/number"]["get"]["responses"]) == {"200"}
    assert "HTTPValidationError" not in document.get("components", {}).get("schemas", {})


@pytest.mark.parametrize(
    ("given", "is_kept"), [("abc-1", True), (None, False), ("", False), ("a b", False), ("x" * 129, False)]
)
def test_request_ids(given: str | None, is_kept: bool) -> None:
    assert choose_request_id(given, "ff") == (given if is_kept else "req_ff")


def test_paths_of_fields() -> None:
    assert field_path(("events", 3, "event_name")) == "events[3].event_name"
    assert field_path(()) == ""


def test_an_error_without_words_of_ours_keeps_its_own() -> None:
    error = validation_error({"loc": ("query", "x"), "type": "odd", "msg": "Odd {input}"})
    assert error.body("en").details == {"field": "x", "reason": "Odd {input}"}
    assert error.body("zh").details == {"field": "x", "reason": "值无效"}


def test_what_the_framework_raises() -> None:
    assert http_error(HTTPException(418)).code is ErrorCode.INVALID_PARAMETER
    assert http_error(HTTPException(500)).code is ErrorCode.SERVER_ERROR
