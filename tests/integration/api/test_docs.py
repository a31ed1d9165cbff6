"""`/docs` of both services, read as a browser without a network would."""

import re
from collections.abc import Callable

import httpx
import pytest
from served_api import ServedApi

ELSEWHERE = re.compile(r"""(?:src|href|url|from|import)\s*[=:(]?\s*["'(]?\s*(?:https?:)?//""", re.IGNORECASE)
SERVICES: dict[str, Callable[[ServedApi], str]] = {
    "gateway": lambda served: served.url,
    "query": lambda served: served.query_url,
}


@pytest.fixture(params=SERVICES)
def client(request: pytest.FixtureRequest, served: ServedApi) -> httpx.Client:
    return httpx.Client(base_url=SERVICES[request.param](served), trust_env=False, timeout=30)


def test_the_page_and_all_it_loads_come_from_the_service_itself(client: httpx.Client) -> None:
    with client:
        page = client.get("/docs")
        assert page.status_code == 200
        assert not ELSEWHERE.search(page.text)
        assert '"validatorUrl": null' in page.text
        loaded = [client.get(path) for path in re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)]
        assert sorted(found.headers["content-type"].partition(";")[0] for found in loaded) == [
            "image/png",
            "text/css",
            "text/javascript",
        ]
        assert all(found.status_code == 200 for found in loaded)
        (style,) = (found.text for found in loaded if "css" in found.headers["content-type"])
        assert {url[:5] for url in re.findall(r"""url\(["']?([^)]+)""", style)} == {"data:"}


def test_the_page_shows_the_services_own_document(client: httpx.Client) -> None:
    with client:
        (path,) = re.findall(r"""url: ["']([^"']+)""", client.get("/docs").text)
        document = client.get(path).json()
    assert document["openapi"].startswith("3.1")
    assert "/v1/attribution" in document["paths"]


@pytest.mark.parametrize("path", ["/docs/", "/docs/assets/none.js", "/docs/assets/../../../etc/passwd", "/redoc"])
def test_there_is_nothing_else(client: httpx.Client, path: str) -> None:
    with client:
        answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "NOT_FOUND"
