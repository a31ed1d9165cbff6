"""Who may see and do what in the console: every route, by role and app; and what a session and a form withstand."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import product
from pkgutil import iter_modules
from typing import Any

import pytest
from console_world import ADMIN, FOREIGN_APP, NOW_MS, OWN_APP, PASSWORD, PASSWORD_HASH, USER, ConsoleWorld
from fastapi.routing import APIRoute

from deploy.local.first_admin import new_admin_link
from pipeline.control import prepare_control_plane
from pipeline.control.audit import read_entries
from pipeline.control.users import IDLE_MS, LIFE_MS, LINK_MS, Users, token_hash
from pipeline.runtime.clock import now_ms
from services.console import pages
from services.console.access.totp import STEP_SECONDS, code_at
from services.console.pages import ROUTERS
from services.console.visitor import admin_of_app, any_page, of_admin, of_app, signed_in

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
FILLED = {"key_id": "key_none", "user_id": "usr_none", "link": "none"}


def access_of(route: APIRoute) -> Any:
    """The dependency that guards a route."""
    guards = {one.call for one in route.dependant.dependencies}
    found = guards & {any_page, signed_in, of_app, of_admin, admin_of_app}
    assert len(found) == 1, route.path
    return found.pop()


def path_of(route: APIRoute, app_id: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: {"app_id": app_id, **FILLED}.get(name[1], "x"), route.path)


def test_every_area_of_pages_is_served_and_so_in_the_matrix() -> None:
    modules = [import_module(f"services.console.pages.{one.name}") for one in iter_modules(pages.__path__)]
    assert {id(module.router) for module in modules if hasattr(module, "router")} == set(map(id, ROUTERS))


def test_routes_by_role_and_app(world: ConsoleWorld) -> None:
    """A stranger is led to the login, another app does not exist, and pages of admins are refused to users."""
    people = {login: world.visitor(login) for login in ("", USER, ADMIN)}
    token = people[USER].token()
    for route, login, app_id in product(ROUTES, people, (OWN_APP, FOREIGN_APP)):
        guard = access_of(route)
        for method in route.methods:
            if method == "POST" and is_allowed(guard, login, app_id):
                continue  # what it changes, other tests show
            path, fields = path_of(route, app_id), {"token": token} if method == "POST" else None
            with people[login].client.stream(method, path, data=fields) as answer:
                pass  # an answer may have no end
            expected = expected_status(guard, login, app_id)
            assert answer.status_code in expected, (method, path, login, answer.status_code, expected)
            assert not login or "default-src 'none'" in answer.headers["content-security-policy"], path
            if expected == {303}:
                assert answer.headers["location"].startswith("/login"), path


def is_allowed(guard: Any, login: str, app_id: str) -> bool:
    if guard is any_page:
        return False
    return login == ADMIN or (login == USER and (guard is signed_in or (guard is of_app and app_id == OWN_APP)))


def expected_status(guard: Any, login: str, app_id: str) -> set[int]:
    if guard is any_page:
        return {200, 303, 400, 403, 404, 422}
    if not login:
        return {303}
    if login == USER and guard in (of_app, admin_of_app) and app_id == FOREIGN_APP:
        return {404}
    if login == USER and guard in (of_admin, admin_of_app):
        return {403}
    # 503: the query service is away here; 404: there is no such user or key.
    return {200, 303, 400, 404, 503}


def test_an_app_that_is_not_given_is_not_named(world: ConsoleWorld) -> None:
    user = world.visitor(USER)
    for path in ("/apps", f"/apps/{OWN_APP}/api-keys", "/profile"):
        page = user.get(path).text
        assert "Foreign" not in page
        assert "/users" not in page
    missing = user.get("/apps/there-is-none/api-keys")
    foreign = user.get(f"/apps/{FOREIGN_APP}/api-keys")
    strip = re.compile(r'req_\w+|name="next" value="[^"]*"')
    assert strip.sub("", foreign.text) == strip.sub("", missing.text)


def test_a_form_from_elsewhere_changes_nothing(world: ConsoleWorld) -> None:
    admin = world.visitor(ADMIN)
    path, fields = f"/apps/{OWN_APP}/api-keys", {"scope": "read"}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "", "Origin": "https://evil.example"}):
        answer = admin.client.post(path, data=fields | {"token": admin.token()}, headers=headers)
        assert answer.status_code == 403
    for token in ("", "0" * 96, world.visitor(USER).token()):
        assert admin.client.post(path, data=fields | {"token": token}).status_code == 403
    assert world.store.keys(OWN_APP) == []
    assert admin.submit(path, **fields).status_code == 200
    assert len(world.store.keys(OWN_APP)) == 1


@pytest.mark.parametrize("path", ["/login", "/preferences"])
def test_an_origin_that_is_no_address_is_another_site(world: ConsoleWorld, path: str) -> None:
    visitor = world.visitor()
    del visitor.client.headers["Sec-Fetch-Site"]
    answer = visitor.client.post(path, data={"login": USER}, headers={"Origin": "http://["})
    assert answer.status_code == 403
    assert "The form was sent from another site." in answer.text


@pytest.mark.parametrize(
    ("charset", "value"),
    [
        ("punycode", b"9"),
        ("undefined", b"x"),
        ("idna", b"xn--9"),
        ("utf-7", b"+2AA-"),
        ("unicode_escape", rb"\ud800"),
    ],
)
@pytest.mark.parametrize("path", ["/login", "/preferences"])
def test_a_form_that_is_no_text_in_its_charset_is_refused(
    world: ConsoleWorld, path: str, charset: str, value: bytes
) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="login"\r\n\r\n' + value + b"\r\n--b--\r\n"
    headers = {"Content-Type": f"multipart/form-data; charset={charset}; boundary=b", "Accept-Language": "zh"}
    answer = world.visitor().client.post(path, content=body, headers=headers)
    assert answer.status_code == 400
    assert "无法读取表单" in answer.text


@pytest.mark.parametrize("secret", ["!", "é"])
def test_no_code_fits_what_is_no_secret(world: ConsoleWorld, secret: str) -> None:
    answer = world.visitor(USER).submit("/profile/totp", secret=secret, code="123456", present=PASSWORD)
    assert answer.status_code == 400
    assert "The code does not fit the secret." in answer.text


@pytest.mark.parametrize(
    "address", ["people?q={}", "people?cursor={}", "people/{}", "events/{}", "conversions/{}", "rejected?code={}"]
)
def test_an_address_that_asks_for_too_much_is_told(world: ConsoleWorld, address: str) -> None:
    answer = world.visitor(USER).get(f"/apps/{OWN_APP}/" + address.format("%ff" * 7_500))
    assert answer.status_code == 400
    assert "What this address asks for is too long." in answer.text


def test_a_login_begins_a_session_under_a_new_id(world: ConsoleWorld) -> None:
    visitor = world.visitor()
    visitor.client.cookies.set("attrikit_session", "planted-by-somebody", domain="127.0.0.1")
    answer = visitor.send("/login", login=USER, password=PASSWORD, next="/apps")
    given = re.search(r"attrikit_session=([^;]+); (.*)", answer.headers["set-cookie"])
    assert given is not None
    assert given[1] != "planted-by-somebody"
    assert len(given[1]) >= 43
    assert {"httponly", "samesite=lax", "path=/"} <= {part.strip().lower() for part in given[2].split(";")}
    assert world.users.of_session("planted-by-somebody", now_ms()) is None


def test_the_cookie_needs_https_anywhere_but_on_this_machine(world: ConsoleWorld) -> None:
    visitor = world.visitor()
    answer = visitor.client.post(
        "/login", data={"login": USER, "password": PASSWORD, "next": "/"}, headers={"Host": "console.example"}
    )
    assert answer.headers["set-cookie"].startswith("__Host-attrikit_session=")
    assert "secure" in answer.headers["set-cookie"].lower()


def test_a_session_ends_by_logout_idleness_age_and_change_of_password(world: ConsoleWorld) -> None:
    user, users, now = world.visitor(USER), world.users, now_ms()
    session = user.session
    assert users.of_session(session, now) is not None
    assert users.of_session(session, now + IDLE_MS + 1) is None
    for hours in range(0, 24 * 8, 11):
        if users.of_session(session, now + hours * 3_600_000) is None:
            break
    assert hours * 3_600_000 >= LIFE_MS - IDLE_MS
    second, third = world.visitor(USER), world.visitor(USER)
    assert second.submit("/logout").status_code == 303
    assert second.get("/profile").status_code == 303
    changed = third.submit("/profile/password", present=PASSWORD, password="Another-Horse-7", again="Another-Horse-7")
    assert changed.status_code == 303
    assert third.get("/profile").status_code == 200
    assert user.get("/profile").status_code == 303


def test_only_hashes_of_sessions_links_and_passwords_are_stored(world: ConsoleWorld) -> None:
    user = world.visitor(USER)
    world.users.set_link(USER, "a-link", now_ms() + LINK_MS)
    stored = world.settings.control_plane_dsn().removeprefix("sqlite:///")
    with open(stored, "rb") as file:
        kept = file.read()
    assert token_hash(user.session).encode() in kept
    assert user.session.encode() not in kept
    assert b"a-link" not in kept
    assert PASSWORD.encode() not in kept


def test_a_link_sets_the_password_once_and_not_after_a_day(world: ConsoleWorld) -> None:
    users = world.users
    users.set_link(USER, "first", now_ms() + LINK_MS)
    users.set_link(USER, "second", now_ms() + LINK_MS)
    assert users.of_link("first", now_ms()) is None, "another link takes its place"
    assert users.of_link("second", now_ms() + LINK_MS + 1) is None
    new = "Fresh-Password-1"
    assert world.visitor().send("/setup/second", password=new, again="Different-Word-2").status_code == 400
    assert world.visitor().send("/setup/second", password="short", again="short").status_code == 400
    assert world.visitor().send("/setup/second", password=new, again=new).headers["location"] == "/"
    assert world.visitor().get("/setup/second").status_code == 404
    assert world.visitor().send("/setup/second", password=new, again=new).status_code == 404
    assert world.visitor().send("/login", login=USER, password=new, next="/").status_code == 303


def test_the_link_of_a_first_run_is_made_until_there_is_a_password(make_settings: Any) -> None:
    settings = make_settings(console_url="http://127.0.0.1:8001")
    prepare_control_plane(settings)
    link = new_admin_link(settings, now_ms())
    assert re.fullmatch(r"http://127\.0\.0\.1:8001/setup/[\w-]{43}", link)
    users = Users(settings.control_plane_dsn())
    assert users.use_link(link.rpartition("/")[2], PASSWORD_HASH, now_ms()).login == ADMIN
    assert new_admin_link(settings, now_ms()) == ""


def test_logins_are_throttled_by_account_and_address_and_lock_nobody_out(world: ConsoleWorld) -> None:
    answers = [world.visitor().send("/login", login=USER, password="wrong", next="/") for _ in range(9)]
    assert [answer.status_code for answer in answers] == [403] * 8 + [429]
    assert answers[-1].headers["retry-after"]
    assert world.visitor().send("/login", login=USER, password=PASSWORD, next="/").status_code == 429
    elsewhere = world.visitor()
    console = world.app.state.console
    assert console.throttle.take_try(USER, "198.51.100.7")
    assert elsewhere.send("/login", login=ADMIN, password=PASSWORD, next="/").status_code == 303


def with_second_factor(world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Any]:
    """A login as the user with the code of a time step: 0 is now. The code of the step before proved the secret."""
    user, secret = world.visitor(USER), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for module in ("sign_in", "profile"):
        monkeypatch.setattr(import_module(f"services.console.pages.{module}"), "now_ms", lambda: NOW_MS)

    def code(step: int) -> str:
        return code_at(secret, NOW_MS // 1000 + step * STEP_SECONDS)

    turned_on = user.submit("/profile/totp", secret=secret, code=code(-1), present=PASSWORD)
    assert turned_on.headers["location"] == "/profile?saved=1"
    return lambda step: world.visitor().send("/login", login=USER, password=PASSWORD, code=code(step), next="/")


def test_a_code_of_a_second_factor_opens_one_session(world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in = with_second_factor(world, monkeypatch)
    answers = [log_in(step) for step in (-1, 0, 0, -1, 1, 0, 1)]
    assert [answer.status_code for answer in answers] == [403, 303, 403, 403, 303, 403, 403]
    assert all("This code was used already" in answer.text for answer in answers if answer.status_code == 403)


def test_of_two_logins_at_once_with_one_code_one_succeeds(world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in = with_second_factor(world, monkeypatch)
    with ThreadPoolExecutor(6) as threads:
        statuses = [answer.status_code for answer in threads.map(log_in, [0] * 6)]
    assert sorted(statuses) == [303] + [403] * 5


def test_a_wrong_login_tells_nothing(world: ConsoleWorld) -> None:
    unknown = world.visitor().send("/login", login="nobody", password=PASSWORD, next="/")
    known = world.visitor().send("/login", login=USER, password="Wrong-Word-123", next="/")
    for one, name in ((unknown, "nobody"), (known, USER)):
        assert one.status_code == 403
        assert "The login or the password is wrong." in one.text
        assert "set-cookie" not in one.headers
        assert f'value="{name}"' in one.text


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_a_login_leads_to_pages_of_ours_alone(world: ConsoleWorld, target: str) -> None:
    answer = world.visitor().send("/login", login=USER, password=PASSWORD, next=target)
    assert answer.headers["location"] == "/"


def test_changes_are_logged_with_what_was_before_and_after(world: ConsoleWorld) -> None:
    admin = world.visitor(ADMIN)
    admin.submit(f"/apps/{OWN_APP}/api-keys/origins", origins="https://shop.example", allows_app_id="yes")
    admin.submit(f"/apps/{OWN_APP}/api-keys", scope=["read", "write"])
    admin.submit("/users/usr_mia", role="user", is_active="yes", app=[OWN_APP, FOREIGN_APP])
    entries = read_entries(world.settings.control_plane_dsn())
    found = [(one["login"], one["action"], one["target"], one["app_id"]) for one in entries]
    assert found == [
        (ADMIN, "user.change", USER, ""),
        (ADMIN, "key.create", OWN_APP, OWN_APP),
        (ADMIN, "app.origins", OWN_APP, OWN_APP),
    ]
    assert entries[2]["before"] == {"allowed_origins": ["*"], "allows_app_id": False}
    assert entries[2]["after"] == {"allowed_origins": ["https://shop.example"], "allows_app_id": True}
    assert entries[0]["after"]["app_ids"] == [FOREIGN_APP, OWN_APP]
    page = admin.get("/audit").text
    assert all(action in page for _, action, _, _ in found)


def test_a_change_that_is_refused_is_not_logged(world: ConsoleWorld) -> None:
    admin = world.visitor(ADMIN)
    answer = admin.submit(f"/apps/{OWN_APP}/api-keys/origins", origins="not an origin at all/")
    assert answer.status_code == 400
    assert admin.submit("/users/usr_admin", role="user", is_active="yes").status_code == 400, "the last admin"
    assert read_entries(world.settings.control_plane_dsn()) == []


def test_a_key_is_shown_once_and_works(world: ConsoleWorld) -> None:
    admin = world.visitor(ADMIN)
    page = admin.submit(f"/apps/{OWN_APP}/api-keys", scope="write").text
    shown = set(re.findall(r"ak_live_\w{32}", page))
    assert len(shown) == 1
    assert "data-secret" in page
    assert "cannot be told now" in page, "the requests of today: there is no query service here"
    assert not re.search(r"ak_live_\w{32}", admin.get(f"/apps/{OWN_APP}/api-keys").text)
    key = world.store.keys(OWN_APP)[0]
    assert key.scopes == {"write"}
    admin.submit(f"/apps/{FOREIGN_APP}/api-keys/{key.key_id}/revoke")
    assert world.store.keys(OWN_APP)[0].revoked_at_ms is None, "it belongs to another app"
    admin.submit(f"/apps/{OWN_APP}/api-keys/{key.key_id}/revoke")
    assert world.store.keys(OWN_APP)[0].revoked_at_ms is not None


def test_a_new_user_gets_a_password_shown_once_and_their_apps(world: ConsoleWorld) -> None:
    page = world.visitor(ADMIN).submit("/users", login="New.One", role="user", app=FOREIGN_APP).text
    shown = re.search(r"data-secret>(\w+)<", page)
    assert shown is not None
    person = world.visitor()
    assert person.send("/login", login="new.one", password=shown[1], next="/").status_code == 303
    assert person.get(f"/apps/{FOREIGN_APP}/api-keys").status_code == 200
    assert person.get(f"/apps/{OWN_APP}/api-keys").status_code == 404


def test_a_role_that_is_taken_away_holds_at_once(world: ConsoleWorld) -> None:
    admin, user = world.visitor(ADMIN), world.visitor(USER)
    admin.submit("/users/usr_mia", role="user", is_active="yes")
    assert user.get(f"/apps/{OWN_APP}/api-keys").status_code == 404
    admin.submit("/users/usr_mia", role="user")
    assert user.get("/profile").status_code == 303
    assert world.visitor().send("/login", login=USER, password=PASSWORD, next="/").status_code == 403


def test_pages_are_in_the_language_and_theme_that_were_chosen(world: ConsoleWorld) -> None:
    user = world.visitor(USER)
    assert 'lang="en"' in user.get("/profile").text
    assert user.send("/preferences", language="zh", next="/profile").headers["location"] == "/profile"
    user.send("/preferences", theme="dark", next="//evil.example")
    page = user.get("/profile").text
    assert 'lang="zh-CN"' in page
    assert 'data-theme="dark"' in page
    assert "个人资料" in page
    assert "企业版" in user.get("/apps").text, "the plan"


def test_a_page_whose_data_is_away_says_so(world: ConsoleWorld) -> None:
    answer = world.visitor(ADMIN).get(f"/apps/{OWN_APP}/first-event")
    assert answer.status_code == 503
    assert "The data cannot be read now" in answer.text
    assert answer.headers["x-request-id"] in answer.text
