"""Set-up link, login, logout, and the choice of language and theme."""

import asyncio
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from pipeline.control import UnknownRecord
from pipeline.control.users import User
from pipeline.runtime.clock import now_ms
from services.console.access.cookies import drop_session, is_plain, session_of, set_session
from services.console.access.forms import is_local_path
from services.console.access.passwords import problem_with
from services.console.access.throttle import RETRY_SECONDS
from services.console.access.totp import step_of_code
from services.console.i18n.catalogue import LANGUAGES, text
from services.console.page import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, Page, go, new_token
from services.console.state import Console, address_of
from services.console.visitor import AnyPage, Form, PublicForm, SignedIn, field

router = APIRouter()
_WRONG: Final = text("The login or the password is wrong.")
_WRONG_CODE: Final = text("The code is wrong. Enter the one your authenticator shows now.")
_USED_CODE: Final = text("This code was used already. Wait for the next one of your authenticator.")
_SLOW_DOWN: Final = text("Too many tries. Wait a minute, then try again.")
_LINK_OVER: Final = text("The link was used or is too old. `attrikit users link` prints another one.")
_DIFFERENT: Final = text("The two passwords are different.")
_PREFERENCE_SECONDS: Final = 400 * 86_400


@router.get("/login")
async def show_login(page: AnyPage, next: str = "/") -> Response:
    return go(_local(next)) if page.user is not None else _login_page(page, next)


@router.post("/login")
async def log_in(page: AnyPage, fields: PublicForm) -> Response:
    console = page.console
    login, target = field(fields, "login").lower(), field(fields, "next")
    address = address_of(page.request, console)
    if not console.throttle.take_try(login, address):
        return _login_page(page, target, _SLOW_DOWN, login, 429)
    user = await asyncio.to_thread(console.users.by_login, login)
    known = user if user is not None and user.is_active else None
    fits = await console.passwords.fits(str(fields.get("password", "")), known.password_hash if known else "")
    if known is None or not fits:
        return _login_page(page, target, _WRONG, login, 403)
    if known.totp_secret:
        code = field(fields, "code")
        problem = await _problem_with(code, known, console) if code else ""
        if problem or not code:
            return _login_page(page, target, problem, login, 403 if code else 200, asks_code=True)
    return await enter(page, known, _local(target))


@router.post("/logout")
async def log_out(page: SignedIn, fields: Form) -> Response:
    await asyncio.to_thread(page.console.users.end_session, session_of(page.request))
    response = go("/login")
    drop_session(page.request, response)
    return response


@router.get("/setup/{link}")
async def show_setup(page: AnyPage, link: str) -> Response:
    user = await asyncio.to_thread(page.console.users.of_link, link, now_ms())
    if user is None:
        return _setup_page(page, None, _LINK_OVER, 404)
    return _setup_page(page, user)


@router.post("/setup/{link}")
async def set_up(page: AnyPage, link: str, fields: PublicForm) -> Response:
    console = page.console
    user = await asyncio.to_thread(console.users.of_link, link, now_ms())
    if user is None:
        return _setup_page(page, None, _LINK_OVER, 404)
    password = str(fields.get("password", ""))
    problem = problem_with(password) or ("" if fields.get("again") == password else _DIFFERENT)
    if problem:
        return _setup_page(page, user, problem, 400)
    hashed = await console.passwords.hash(password)
    own = Page(page.request, console, user)
    try:
        users = console.users_with(own.entry("user.set_password", user.login))
        await asyncio.to_thread(users.use_link, link, hashed, now_ms())
    except UnknownRecord:
        return _setup_page(page, None, _LINK_OVER, 404)
    return await enter(page, user, "/")


@router.post("/preferences")
async def set_preferences(page: AnyPage, fields: PublicForm) -> Response:
    """Keep language and theme in cookies of this browser."""
    response = go(_local(field(fields, "next")))
    choices = ((LANGUAGE_COOKIE, "language", tuple(LANGUAGES)), (THEME_COOKIE, "theme", THEMES))
    for cookie, name, allowed in choices:
        chosen = field(fields, name)
        if chosen in allowed:
            secure = not is_plain(page.request)
            response.set_cookie(cookie, chosen, max_age=_PREFERENCE_SECONDS, secure=secure, samesite="lax")
    return response


async def enter(page: Page, user: User, target: str) -> Response:
    """Begin a session under a new id, whatever id the browser came with, and lead to a page."""
    console, token = page.console, new_token()
    if old := session_of(page.request):
        await asyncio.to_thread(console.users.end_session, old)
    address, agent = address_of(page.request, console), page.request.headers.get("User-Agent", "")
    await asyncio.to_thread(console.users.begin_session, user.user_id, token, address, agent, now_ms())
    response = go(target)
    set_session(page.request, response, token)
    return response


async def _problem_with(code: str, user: User, console: Console) -> str:
    """Use up the code of a second factor. Returns why it opens nothing; empty: it does."""
    step = step_of_code(console.settings, user, code, now_ms())
    if step is None:
        return _WRONG_CODE
    return "" if await asyncio.to_thread(console.users.use_totp_step, user.user_id, step) else _USED_CODE


def _login_page(
    page: Page, target: str, problem: str = "", login: str = "", status: int = 200, asks_code: bool = False
) -> Response:
    scheme = page.request.headers.get("X-Forwarded-Proto", page.request.url.scheme)  # for a warning alone
    insecure = scheme == "http" and not is_plain(page.request)
    values = {"next": _local(target), "login": login, "insecure": insecure, "asks_code": asks_code}
    shown = page.render("login.html", status, problem=page.text(problem) if problem else "", **values)
    if status == 429:
        shown.headers["Retry-After"] = str(RETRY_SECONDS)
    return shown


def _setup_page(page: Page, user: User | None, problem: str = "", status: int = 200) -> Response:
    return page.render("setup.html", status, person=user, problem=page.text(problem) if problem else "")


def _local(path: str) -> str:
    return path if is_local_path(path) else "/"
