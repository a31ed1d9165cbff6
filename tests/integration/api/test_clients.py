"""Generators make working clients of the OpenAPI document, in Python and TypeScript."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import api_document
import generated_clients
import httpx
import pytest
from served_api import SECRET_KEY, ServedApi

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def make(tmp_path: Path) -> Callable[[Callable[[dict[str, Any], Path], None]], Path]:
    """`make(generate)`: the folder with the client; skips where its generator cannot be installed."""

    def made(generate: Callable[[dict[str, Any], Path], None]) -> Path:
        try:
            generate(api_document.document(), tmp_path)
        except generated_clients.Unreachable as reason:
            pytest.skip(str(reason))
        return tmp_path

    return made


@pytest.fixture(autouse=True)
def _nothing_is_kept(served: ServedApi) -> Iterator[None]:
    yield
    served.sink.records.clear()


def test_a_python_client_reports_and_reads(served: ServedApi, make: Callable[..., Path]) -> None:
    folder = make(generated_clients.python_client)
    answers = generated_clients.run_python(folder, served.url, SECRET_KEY)
    assert answers == {
        "event_id": "client-1",
        "accepted": 2,
        "statuses": ["accepted", "accepted"],
        "is_valid": True,
        "event_names": _event_names(served),
        "totals": _data(served, "/v1/reports/performance")["totals"],
        "conversion_rows": len(_data(served, "/v1/reports/conversion")["items"]),
        "funnel_hours": 168,
        "attribution_rows": len(_data(served, "/v1/attribution")["items"]),
        "refused": "INVALID_PARAMETER",
    }


def test_a_typescript_client_is_typed_strictly_and_works(served: ServedApi, make: Callable[..., Path]) -> None:
    folder = make(generated_clients.typescript_client)
    assert generated_clients.run_typescript(folder, served.url, SECRET_KEY) == {
        "event_id": "typed-1",
        "accepted": 2,
        "event_names": _event_names(served),
        "dimension": "channel",
        "code": "INVALID_PARAMETER",
    }


def test_a_default_can_be_sent(served: ServedApi) -> None:
    """Generated clients send every default there is."""
    for path, item in api_document.document()["paths"].items():
        parameters = item["get"]["parameters"] if "get" in item and "{" not in path else []
        given = {each["name"]: each["schema"]["default"] for each in parameters if "default" in each.get("schema", {})}
        if given:
            answer = httpx.get(served.url + path, params=given, headers=_HEADERS, trust_env=False, timeout=30)
            assert answer.status_code == 200, (path, given, answer.text)


_HEADERS = {"Authorization": f"Bearer {SECRET_KEY}"}


def _data(served: ServedApi, path: str) -> Any:
    return httpx.get(served.url + path, headers=_HEADERS, trust_env=False, timeout=30).json()["data"]


def _event_names(served: ServedApi) -> list[str]:
    return [event["event_name"] for event in _data(served, "/v1/events?limit=3")["items"]]
