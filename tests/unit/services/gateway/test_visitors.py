"""The visitor's cookie: which id, on which domain, and for which pages."""

from collections.abc import Callable
from dataclasses import replace
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from schemas.control import App, Plan, Snapshot
from services.gateway.visitors import COOKIE, CookieScope, cookie_scope, given_id, id_in_cookies
from services.web.errors import ApiError

PAGE = "https://www.shop.example"
GATEWAY = "events.shop.example"


@pytest.fixture
def snapshot(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, apps={"web": App("web", "Web", Plan.FREE, allows_app_id=True)})


@pytest.fixture
def ask(make_app: Callable[..., FastAPI]) -> Callable[..., Any]:
    """`ask(body)`: what the browser sends for a page, and `(data, the cookie that is set)`."""
    transport = httpx.ASGITransport(make_app())

    async def ask(
        body: str = "", origin: str = PAGE, host: str = GATEWAY, cookies: str = "", **more: str
    ) -> tuple[Any, Any]:
        headers = {"Origin": origin, "Host": host, "Content-Type": "text/plain", "Accept-Language": "en"} | more
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            given = headers | ({"Cookie": cookies} if cookies else {})
            answer = await client.post("/v1/visitor?app_id=web", content=body, headers=given)
        assert answer.status_code == 200, answer.text
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-credentials"] == "true"
        found = SimpleCookie(answer.headers.get("set-cookie", "")).get(COOKIE)
        return answer.json()["data"], found

    return ask


async def test_a_new_visitor_gets_an_id_and_a_cookie_for_400_days(ask: Any) -> None:
    data, cookie = await ask()
    assert data["is_cookie_set"] is True
    assert "reason" not in data
    assert cookie.value == data["visitor_id"]
    assert (cookie["domain"], cookie["path"], cookie["max-age"]) == ("shop.example", "/", str(400 * 86_400))
    assert (cookie["samesite"], cookie["secure"], cookie["httponly"]) == ("Lax", True, "")
    other, _ = await ask()
    assert other["visitor_id"] != data["visitor_id"]


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
async def test_an_empty_body_is_one_in_any_coding(ask: Any, coding: str) -> None:
    data, _ = await ask(**{"Content-Encoding": coding})
    assert data["visitor_id"]


@pytest.mark.parametrize("body", [b" ", b"\r\n", b"[]", b"{", b'"vis_of_the_page"'])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError):
        given_id(body)


async def test_a_body_may_have_what_is_not_asked_for(ask: Any) -> None:
    data, _ = await ask('{"visitor_id": "vis_of_the_page", "page": "%s"}' % ("x" * 30_000))
    assert data["visitor_id"] == "vis_of_the_page"


async def test_the_cookie_wins_over_the_body_and_is_refreshed(ask: Any) -> None:
    data, cookie = await ask('{"visitor_id": "vis_of_the_page"}', cookies=f"a=b; {COOKIE}=vis_of_before; c=d")
    assert data["visitor_id"] == cookie.value == "vis_of_before"
    data, cookie = await ask('{"visitor_id": "vis_of_the_page"}', cookies="a=b")
    assert data["visitor_id"] == cookie.value == "vis_of_the_page"
    data, cookie = await ask('{"visitor_id": "vis_of_the_page"}', cookies=f"{COOKIE}=no id; {COOKIE}=undefined")
    assert data["visitor_id"] == cookie.value == "vis_of_the_page"


@pytest.mark.parametrize("origin", ["https://shop.test", "null", "https://example", "capacitor://shop.example"])
async def test_another_sites_page_gets_no_cookie_and_never_the_sites_id(ask: Any, origin: str) -> None:
    data, cookie = await ask('{"visitor_id": "vis_of_the_page"}', origin=origin, cookies=f"{COOKIE}=vis_of_before")
    assert cookie is None
    assert (data["visitor_id"], data["is_cookie_set"]) == ("vis_of_the_page", False)
    assert "site" in data["reason"]


async def test_it_costs_none_of_the_days_requests(ask: Any) -> None:
    for _ in range(30):
        await ask()


@pytest.mark.parametrize(
    ("origin", "host", "place"),
    [
        ("https://shop.example", "shop.example", CookieScope("shop.example", True)),
        ("http://shop.example:3000", "events.shop.example:8000", CookieScope("shop.example", False)),
        ("https://WWW.Shop.Example", "events.shop.example.", CookieScope("shop.example", True)),
        ("https://a.b.shop.co.uk", "e.shop.co.uk", CookieScope("shop.co.uk", True)),
        ("https://www.xn--fsqu00a.cn", "e.xn--fsqu00a.cn", CookieScope("xn--fsqu00a.cn", True)),
        ("https://shop.co.uk", "other.co.uk", None),
        ("https://me.github.io", "you.github.io", None),
        ("https://me.github.io", "me.github.io", CookieScope("me.github.io", True)),
        ("https://github.io", "github.io", CookieScope("", True)),
        ("http://localhost:3000", "localhost:8000", CookieScope("", False)),
        ("http://127.0.0.1:3000", "127.0.0.1:8000", CookieScope("", False)),
        ("http://127.0.0.1", "127.0.0.2", None),
        ("http://1.0.0.1", "2.0.0.1", None),
        ("http://[::1]:3000", "[::1]:8000", CookieScope("", False)),
        ("https://shop.example.evil.example", "events.shop.example", None),
        ("https://evilshop.example", "events.shop.example", None),
        ("https://shop.example", "", None),
        ("", "shop.example", None),
        ("https://", "", None),
    ],
)
def test_the_widest_domain_of_one_site(origin: str, host: str, place: CookieScope | None) -> None:
    assert cookie_scope(origin, host) == place


@given(st.text(max_size=50), st.text(max_size=50))
def test_no_origin_and_no_host_breaks_it(origin: str, host: str) -> None:
    place = cookie_scope("https://" + origin, host)
    assert place is None or place.domain.isascii()
    assert place is None or not set(place.domain) & set("; ,=\t\r\n")


@given(st.text(max_size=80))
def test_an_id_out_of_a_cookie_header_can_be_written_into_one(header: str) -> None:
    assert not set(id_in_cookies(f"{COOKIE}={header}")) & set("; ,=\t\r\n")
