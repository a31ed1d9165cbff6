"""Pages that report: preflights, allowed origins, keys in a URL."""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from pipeline.control import InvalidRecord
from pipeline.control.rules import check_app
from schemas.control import ApiKey, App, Plan, Scope, Snapshot
from schemas.errors import ErrorCode
from schemas.events import AcceptedEvent
from services.gateway.browser import is_allowed
from services.gateway.client_rate import ClientRate
from services.web.errors import ApiError
from services.web.quota import rules

PATHS = ["/v1/events/track", "/v1/events/batch", "/v1/events/validate"]
SHOP = "https://shop.example"
BLOG = "https://blog.example"
MINI_PROGRAMS = "https://servicewechat.com"
OLD_PATH = "/api/events"
BODIES = {PATHS[0]: {"event_name": "a"}, PATHS[1]: {"events": [{"event_name": "a"}]}, PATHS[2]: {"event_name": "a"}}
KEYS = {"shop": "ak_test_write", "blog": "ak_test_blog", "both": "ak_test_both"}
Stored = Callable[[], list[AcceptedEvent]]


@pytest.fixture
def snapshot(snapshot: Snapshot) -> Snapshot:
    """Shop allows itself and its subdomains, blog only itself; `both` is a secret key of shop."""
    from hashlib import sha256

    def key(name: str, app_id: str, *scopes: Scope) -> ApiKey:
        return ApiKey("key_" + name, app_id, sha256(KEYS[name].encode()).hexdigest(), frozenset(scopes))

    keys = [key("blog", "blog", Scope.WRITE), key("both", "shop", *Scope)]
    shop = replace(snapshot.apps["shop"], allowed_origins=(SHOP, "https://*.shop.example"))
    by_id = App("by_id", "By id", allowed_origins=(SHOP, MINI_PROGRAMS), allows_app_id=True)
    spent = App("spent", "Spent", Plan.FREE, allowed_origins=(SHOP,), allows_app_id=True)
    apps = {"shop": shop, "blog": App("blog", "Blog", allowed_origins=(BLOG,)), "by_id": by_id, "spent": spent}
    return Snapshot(apps, snapshot.keys_by_sha256 | {key.secret_sha256: key for key in keys}, 0)


@pytest.fixture
async def page(make_app: Callable[..., FastAPI]) -> Callable[..., Any]:
    """`page(method, path, origin=…)`: what a page's script or the browser itself sends."""
    transport = httpx.ASGITransport(make_app())

    async def send(method: str, path: str, key: str | None = None, **given: Any) -> httpx.Response:
        origin = given.pop("origin", SHOP)
        headers = {"Accept-Language": "en"} | ({"Origin": origin} if origin else {}) | given.pop("headers", {})
        if key is not None:
            headers["Authorization"] = f"Bearer {KEYS.get(key, key)}"
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.request(method, path, headers=headers, **given)

    return send


def preflight(*names: str, method: str = "POST") -> dict[str, str]:
    return {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": ",".join(names)}


def names_in(answer: httpx.Response, header: str) -> set[str]:
    return {name.strip().lower() for name in answer.headers[header].split(",")}


def is_refused(answer: httpx.Response, reason: str) -> bool:
    """FORBIDDEN, and nothing a browser would let the page read."""
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (403, ErrorCode.FORBIDDEN), answer.text
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    return reason in error["details"]["reason"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", [SHOP, "https://m.shop.example", "https://a.b.shop.example", BLOG])
async def test_a_preflight_is_answered_by_what_any_app_allows(page: Any, path: str, origin: str) -> None:
    answer = await page("OPTIONS", path, origin=origin, headers=preflight("authorization", "content-type", "x-trace"))
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "data": {"methods": ["POST"]}}
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert names_in(answer, "access-control-allow-methods") == {"post"}
    assert names_in(answer, "access-control-allow-headers") == {"authorization", "content-type", "x-trace"}
    assert "origin" in names_in(answer, "vary")
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("names", ["", "a b", "a,,b", "x" * 2_000])
async def test_a_preflight_with_no_list_of_names_is_told_the_usual_ones(page: Any, names: str) -> None:
    answer = await page("OPTIONS", PATHS[0], headers=preflight(names))
    assert {"authorization", "content-type"} <= names_in(answer, "access-control-allow-headers")


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://shop.example", "https://shop.example:444", "null", "https://" + "a" * 300],
)
@pytest.mark.parametrize("path", PATHS)
async def test_a_strange_origin_is_told_so_and_nothing_is_stored(
    page: Any, stored: Stored, origin: str, path: str
) -> None:
    assert is_refused(await page("OPTIONS", path, origin=origin, headers=preflight()), "origin")
    assert is_refused(await page("POST", path, "shop", origin=origin, json=BODIES[path]), "origin")
    assert stored() == []


@pytest.mark.parametrize("headers", [{}, preflight(method="GET"), preflight(method="DELETE")])
async def test_options_that_is_no_preflight_of_a_post_stays_a_wrong_method(page: Any, headers: dict[str, str]) -> None:
    answer = await page("OPTIONS", PATHS[0], headers=headers)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_reads_its_answers_good_and_bad(page: Any, path: str) -> None:
    good = await page("POST", path, "shop", json=BODIES[path])
    bad = await page("POST", path, "shop", content=b"{" + b" " * (6 << 20))
    stranger = await page("POST", path, "nobody", json=BODIES[path])
    assert (good.status_code // 100, bad.status_code, stranger.status_code) == (2, 400, 401)
    for answer in (good, bad, stranger):
        assert answer.headers["access-control-allow-origin"] == SHOP
        exposed = names_in(answer, "access-control-expose-headers")
        limits = {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"}
        assert exposed == {"x-request-id", "retry-after"} | limits


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_of_one_app_may_not_use_the_key_of_another(page: Any, stored: Stored, path: str) -> None:
    assert is_refused(await page("POST", path, "blog", origin=SHOP, json=BODIES[path]), "origin")
    assert stored() == []
    assert (await page("POST", path, "blog", origin=BLOG, json=BODIES[path])).status_code // 100 == 2


async def test_a_key_that_can_read_must_not_be_in_a_page(page: Any, stored: Stored) -> None:
    assert is_refused(await page("POST", PATHS[0], "both", json=BODIES[PATHS[0]]), "must not be in a page")
    assert stored() == []


async def test_our_own_documentation_page_and_servers_are_let_in(page: Any, client: httpx.AsyncClient) -> None:
    answer = await page("POST", PATHS[0], "both", origin="http://gateway", json=BODIES[PATHS[0]])
    assert answer.status_code == 201
    assert (await client.post(PATHS[0], json=BODIES[PATHS[0]])).status_code == 201
    plain = await client.post(PATHS[0], json=BODIES[PATHS[0]])
    assert "access-control-allow-origin" not in plain.headers


@pytest.mark.parametrize("path", PATHS[:2])
@pytest.mark.parametrize("content_type", ["text/plain;charset=UTF-8", "application/json", ""])
async def test_a_beacon_brings_its_key_in_the_url(page: Any, stored: Stored, path: str, content_type: str) -> None:
    body = {PATHS[0]: b'{"event_name":"a"}', PATHS[1]: b'{"events":[{"event_name":"a"}]}'}[path]
    answer = await page(
        "POST", path, params={"key": KEYS["shop"]}, content=body, headers={"Content-Type": content_type}
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert [event.app_id for event in stored()] == ["shop"]


@pytest.mark.parametrize(
    ("key", "status"),
    [("ak_test_both", 403), ("ak_test_read", 403), ("nobody", 401), ("", 401), ("ak_test_revoked", 401)],
)
@pytest.mark.parametrize("origin", [{}, {"Origin": "http://gateway"}])
async def test_only_a_key_that_can_do_nothing_but_write_may_stand_in_a_url(
    make_app: Callable[..., FastAPI], stored: Stored, key: str, status: int, origin: dict[str, str]
) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(make_app()), base_url="http://gateway") as client:
        headers = {"Accept-Language": "en"} | origin
        answer = await client.post(PATHS[0], params={"key": key}, json={"event_name": "a"}, headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert "must not be in a URL" in answer.json()["error"]["details"]["reason"]
    assert key == "" or key not in answer.text
    assert stored() == []


async def test_a_key_in_the_url_counts_once_only_on_its_endpoints_and_only_without_a_header(page: Any) -> None:
    key = KEYS["shop"]
    assert (await page("POST", f"{PATHS[2]}?key={key}", json={"event_name": "a"})).status_code == 401
    assert (await page("POST", f"{PATHS[0]}?key={key}&key={key}", json={"event_name": "a"})).status_code == 401
    assert (await page("POST", f"{PATHS[0]}?key={key}", "nobody", json={"event_name": "a"})).status_code == 401
    beacon = await page("POST", f"{PATHS[1]}?results=errors&key={key}", content=b'{"events":[{"event_name":"a"}]}')
    assert beacon.json()["data"]["results"] == []


TEXT = {"Content-Type": "text/plain;charset=UTF-8"}


@pytest.mark.parametrize("path", [*PATHS[:2], OLD_PATH])
async def test_a_page_reports_with_the_apps_id_alone(page: Any, stored: Stored, path: str) -> None:
    answer = await page("POST", f"{path}?app_id=by_id", json=BODIES.get(path, BODIES[PATHS[1]]), headers=TEXT)
    assert answer.status_code == 201, answer.text
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert [(event.app_id, event.key_id) for event in stored()] == [("by_id", "app_id")]


@pytest.mark.parametrize("path", PATHS[:2])
async def test_the_old_address_answers_as_the_endpoint_for_such_a_body(page: Any, stored: Stored, path: str) -> None:
    old, new = [
        (await page("POST", url, "shop", json=BODIES[path] | {"event_id": "e1"})).json()["data"]
        for url in (OLD_PATH, path)
    ]
    assert old.keys() == new.keys()
    bad = {PATHS[0]: {"event_name": "A"}, PATHS[1]: {"events": []}}[path]
    old, new = [await page("POST", url, "shop", json=bad) for url in (OLD_PATH, path)]
    assert (old.status_code, old.json()) == (new.status_code, new.json())
    assert (await page("POST", OLD_PATH, json=BODIES[path])).status_code == 401
    assert len(stored()) == 2


@pytest.mark.parametrize("path", [*PATHS[:2], OLD_PATH])
@pytest.mark.parametrize("origin", ["", BLOG, "https://m.shop.example", "null", "https://" + "a" * 300])
async def test_an_app_id_from_elsewhere_is_refused(page: Any, stored: Stored, path: str, origin: str) -> None:
    assert is_refused(await page("POST", f"{path}?app_id=by_id", origin=origin, json={"event_name": "a"}), "page")
    assert stored() == []


async def test_strangers_cannot_tell_which_apps_there_are(page: Any, stored: Stored) -> None:
    errors = []
    for app_id in ("shop", "nobody", "by_id/", "%00", "a" * 2_000):
        answer = await page("POST", f"{PATHS[0]}?app_id={app_id}", json={"event_name": "a"})
        assert (answer.status_code, answer.headers["www-authenticate"][:6]) == (401, "Bearer")
        assert answer.headers["access-control-allow-origin"] == SHOP
        errors.append(answer.json()["error"])
    assert errors == [errors[0]] * len(errors)
    assert "--allow-app-id" in errors[0]["details"]["reason"]
    assert stored() == []


async def test_an_app_id_only_reports(page: Any, client: httpx.AsyncClient) -> None:
    assert (await page("POST", f"{PATHS[2]}?app_id=by_id", json={"event_name": "a"})).status_code == 401
    key = KEYS["shop"]
    for query in ("app_id=by_id&app_id=by_id", "app_id=", "key=nobody&app_id=by_id"):
        assert (await page("POST", f"{PATHS[0]}?{query}", json={"event_name": "a"})).status_code == 401, query
    assert (await page("POST", f"{PATHS[0]}?app_id=by_id", "nobody", json={"event_name": "a"})).status_code == 401
    assert (await page("POST", f"{PATHS[0]}?key={key}&app_id=nobody", json={"event_name": "a"})).status_code == 201


async def test_a_mini_program_is_known_by_its_referer(page: Any, stored: Stored) -> None:
    def referer(url: str) -> dict[str, str]:
        return {"Referer": url} | TEXT

    path = f"{PATHS[0]}?app_id=by_id"
    good = referer(MINI_PROGRAMS + "/wx0123456789abcdef/devtools/page-frame.html")
    assert (await page("POST", path, origin="", json={"event_name": "a"}, headers=good)).status_code == 201
    assert (await page("POST", path, origin=BLOG, json={"event_name": "a"}, headers=good)).status_code == 403
    for url in (MINI_PROGRAMS + ".evil.example/", MINI_PROGRAMS + "@evil.example/", "servicewechat.com/", "x" * 999):
        answer = await page("POST", path, origin="", json={"event_name": "a"}, headers=referer(url))
        assert answer.status_code == 403, url
    assert len(stored()) == 1


async def test_reports_by_app_id_count_against_the_apps_plan(
    page: Any, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(rules.REQUESTS_A_DAY, Plan.FREE, 2)
    statuses = [(await page("POST", f"{PATHS[1]}?app_id=spent", json=BODIES[PATHS[1]])).status_code for _ in range(3)]
    assert statuses == [201, 201, 429]
    assert len(stored()) == 2


@pytest.mark.parametrize("path", [*PATHS[:2], OLD_PATH, "/v1/visitor"])
async def test_one_client_network_cannot_use_up_an_apps_day(
    make_app: Callable[..., FastAPI], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("services.gateway.app.ClientRate", partial(ClientRate, clock=lambda: 250))
    app = make_app(app_id_requests_a_second=2, trusted_proxies="127.0.0.1")

    async def answer_to(address: str, query: str = "app_id=spent") -> httpx.Response:
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 4711))
        headers = {"Origin": SHOP, "X-Forwarded-For": address, "Accept-Language": "en"} | TEXT
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.post(f"{path}?{query}", headers=headers, json=BODIES.get(path, {}))

    found = [await answer_to(address) for address in ("2001:db8::1", "2001:db8::2", "2001:db8::3", "198.51.100.7")]
    assert [answer.status_code == 429 for answer in found] == [False, False, True, False]
    refused = found[2]
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["access-control-allow-origin"] == SHOP, "the page can read when to try again"
    error = refused.json()["error"]
    assert (error["code"], error["details"]["limit"]) == (ErrorCode.RATE_LIMIT_EXCEEDED, 2)
    assert "client network" in error["details"]["reason"]
    if path in PATHS:
        assert found[3].headers["ratelimit-remaining"] == "997", "what is refused costs the day nothing"
    for query in ("app_id=by_id", f"key={KEYS['shop']}"):
        assert (await answer_to("2001:db8::1", query)).status_code != 429, "another app, or a key"


def test_the_next_second_begins_at_none_and_forgets_the_last() -> None:
    at_ms = 1_000
    rate = ClientRate(1, clock=lambda: at_ms)
    app = App("by_id", "By id")
    for at_ms in (1_000, 2_000, 2_999, 3_000):
        if at_ms == 2_999:
            with pytest.raises(ApiError, match="RATE_LIMIT_EXCEEDED"):
                rate.check(app, "198.51.100.7")
        else:
            rate.check(app, "198.51.100.7")
    for n in range(100):
        rate.check(app, f"198.51.100.{100 + n}")
    at_ms = 4_000
    rate.check(app, "198.51.100.7")
    assert len(rate._used) == 1


@pytest.mark.parametrize(
    ("origin", "allowed", "expected"),
    [
        ("https://shop.example", ["*"], True),
        ("null", ["*"], True),
        ("null", ["null"], True),
        ("https://shop.example", [], False),
        ("https://shop.example", ["https://*.shop.example"], False),
        ("https://m.shop.example", ["https://*.shop.example"], True),
        ("https://m.shop.example:8443", ["https://*.shop.example"], False),
        ("https://m.shop.example:8443", ["https://*.shop.example:8443"], True),
        ("http://m.shop.example", ["https://*.shop.example"], False),
        ("https://evilshop.example", ["https://*.shop.example"], False),
        ("https://shop.example.evil.example", ["https://shop.example", "https://*.shop.example"], False),
        ("https://*.shop.example", ["https://m.shop.example"], False),
        ("http://[::1]:3000", ["http://[::1]:3000"], True),
        ("", ["https://shop.example"], False),
    ],
)
def test_what_a_list_of_origins_allows(origin: str, allowed: Collection[str], expected: bool) -> None:
    assert is_allowed(origin, allowed) is expected


@pytest.mark.parametrize("allowed", [("https://*.shop.example",), ("*",)])
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.com/.shop.example",
        "https://evil.com?.shop.example",
        "https://evil.com#.shop.example",
        "https://evil.com:80/.shop.example",
        "https://evil.com\\.shop.example",
        "https://a@evil.com/.shop.example",
        "https://a.shop.example:port",
        "a.shop.example",
    ],
)
def test_what_is_no_origin_is_not_allowed(origin: str, allowed: tuple[str, ...]) -> None:
    assert not is_allowed(origin, allowed)


@pytest.mark.parametrize(
    "origin",
    [
        *("shop.example", "https://shop.example/", "https://shop.example/a", "https://Shop.example", "https://", ""),
        *("**", "https://*", "https://*shop.example", "https://a.*.example", "https://shop.example:x", "https://a\n"),
    ],
)
def test_an_origin_no_browser_would_send_is_refused_when_it_is_set(origin: str) -> None:
    with pytest.raises(InvalidRecord, match="origin"):
        check_app(App("shop", "Shop", allowed_origins=(origin,)))
