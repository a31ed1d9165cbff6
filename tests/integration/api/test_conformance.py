"""The table of errors, row by row and in both languages, and that it leaves out none the document allows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import api_document
import conformance
import httpx
import pytest
from conformance import ELSEWHERE
from conformance_row import HEADERS, Row
from served_api import ServedApi

from pipeline.runtime.clickhouse import ClickHouseUnavailable
from schemas.control import Plan
from schemas.errors import ErrorCode
from services.web.quota import rules

ROWS = list(conformance.rows())
LANGUAGES = {"": "zh", "en-GB,en;q=0.9": "en"}


async def _unavailable(*_: Any, **__: Any) -> bytes:
    raise ClickHouseUnavailable("it is away")


@contextmanager
def failing(part: str, served: ServedApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        if part == "broker":
            patched.setattr(served.sink, "is_connected", False)
        elif part == "control plane":
            patched.setattr(served.snapshots, "is_away", True)
        elif part == "ClickHouse":
            patched.setattr(served.clickhouse, "query_bytes", _unavailable)
            patched.setattr(served.clickhouse, "read", _unavailable)
        elif part == "quota":
            patched.setitem(rules.REQUESTS_A_DAY, Plan.FREE, 0)
            patched.setattr(rules, "VALIDATIONS_A_SECOND", 0)
        yield


@pytest.fixture(scope="module")
def client(served: ServedApi) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, trust_env=False, timeout=30) as opened:
        yield opened


@pytest.mark.parametrize("accept_language", LANGUAGES)
@pytest.mark.parametrize("code", ErrorCode)
def test_every_row(
    served: ServedApi,
    client: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    code: ErrorCode,
    accept_language: str,
) -> None:
    for number, row in enumerate(row for row in (*ROWS, *ELSEWHERE) if row.code is code):
        with failing(row.without, served, monkeypatch):
            check(row, client, f"row-{number}", accept_language)


def check(row: Row, client: httpx.Client, request_id: str, accept_language: str) -> None:
    method, path, body, headers = row.request
    given = headers | {"X-Request-Id": request_id} | ({"Accept-Language": accept_language} if accept_language else {})
    answer = client.request(method, path, content=body, headers=given)
    told = f"{row}: {answer.status_code} {answer.text[:500]}"
    assert answer.headers.get_list("x-request-id") == [request_id], told
    assert answer.headers["content-type"] == "application/json", told
    error = error_in(answer, row, told)
    language = LANGUAGES[accept_language]
    details = error["details"]
    assert error["code"] == row.code, told
    assert error["message"].startswith(row.code.message(language)), told
    assert error["message"].endswith(details.get("reason", "")), told
    assert details.keys() == row.detail_names, told
    assert details | row.details == details, told
    if "reason" in details:
        assert details["reason"].isascii() == (language == "en"), told
    if row.code is ErrorCode.SERVER_ERROR:
        assert details["request_id"] == request_id, told
    if row.code is ErrorCode.METHOD_NOT_ALLOWED:
        assert answer.headers["allow"] == ", ".join(details["allowed"]), told


def error_in(answer: httpx.Response, row: Row, told: str) -> Any:
    body = answer.json()
    if row.answered_in:
        assert (answer.status_code, body.keys()) == (answer.status_code, {"success", "data"}), told
        assert answer.status_code in (200, 201), told
        last = body["data"][row.answered_in][-1]
        return last["error"] if row.answered_in == "results" else {key: last[key] for key in last.keys() - {"index"}}
    assert answer.status_code == row.code.status, told
    assert body.keys() == {"success", "error"}, told
    assert body["success"] is False, told
    assert body["error"].keys() == {"code", "message", "details"}, told
    assert answer.headers.keys() >= HEADERS.get(row.code, set()), told
    return body["error"]


def test_every_error_of_the_document_has_its_row_and_no_row_is_undocumented() -> None:
    allowed = {
        (f"{method.upper()} {path}", code)
        for path, operations in api_document.document()["paths"].items()
        for method, operation in operations.items()
        for status, response in operation["responses"].items()
        if int(status) >= 400
        for code in response["content"]["application/json"]["examples"]
    }
    shown = {(row.endpoint, row.code.value) for row in ROWS if not row.answered_in}
    assert shown == allowed
