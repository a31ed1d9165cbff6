"""A person's own page: name, password, second factor, sessions."""

import asyncio
from dataclasses import replace

from fastapi import APIRouter
from starlette.responses import Response

from pipeline.control.users import User, token_hash
from pipeline.runtime.clock import now_ms
from pipeline.runtime.secret_box import SecretBox
from services.console.access import totp
from services.console.access.cookies import drop_session, session_of
from services.console.access.passwords import problem_with
from services.console.i18n.catalogue import text
from services.console.page import Page, go
from services.console.pages.sign_in import enter
from services.console.visitor import Form, SignedIn, field

router = APIRouter()
_WRONG = text("The present password is wrong.")
_DIFFERENT = text("The two passwords are different.")
_WRONG_CODE = text("The code does not fit the secret. Check the clock of the device, and try again.")


@router.get("/profile")
async def show_profile(page: SignedIn) -> Response:
    return await _profile_page(page)


@router.post("/profile")
async def change_name(page: SignedIn, fields: Form) -> Response:
    user = _user(page)
    changed = replace(user, display_name=field(fields, "display_name"))
    users = page.console.users_with(page.entry("user.change", user.login))
    await asyncio.to_thread(users.update, changed)
    return go("/profile?saved=1")


@router.post("/profile/password")
async def change_password(page: SignedIn, fields: Form) -> Response:
    """Change the password: every session ends, and this browser gets a new one."""
    user, password = _user(page), str(fields.get("password", ""))
    if not await page.console.passwords.fits(str(fields.get("present", "")), user.password_hash):
        return await _profile_page(page, _WRONG, 403)
    problem = problem_with(password) or ("" if fields.get("again") == password else _DIFFERENT)
    if problem:
        return await _profile_page(page, problem, 400)
    hashed = await page.console.passwords.hash(password)
    users = page.console.users_with(page.entry("user.set_password", user.login))
    await asyncio.to_thread(users.set_password, user.user_id, hashed)
    return await enter(page, user, "/profile?saved=1")


@router.post("/profile/totp")
async def set_totp(page: SignedIn, fields: Form) -> Response:
    """Turn the second factor on, once a code of the new secret was entered, or off, with the password."""
    user, secret = _user(page), field(fields, "secret")
    if not await page.console.passwords.fits(str(fields.get("present", "")), user.password_hash):
        return await _profile_page(page, _WRONG, 403)
    step = totp.step_of(secret, field(fields, "code"), now_ms()) if secret else 0
    if step is None:
        return await _profile_page(page, _WRONG_CODE, 400)
    locked = SecretBox.open(page.console.settings, creates=True).lock(secret) if secret else ""
    users = page.console.users_with(page.entry("user.totp_on" if secret else "user.totp_off", user.login))
    await asyncio.to_thread(users.set_totp, user.user_id, locked, step)
    return go("/profile?saved=1")


@router.post("/profile/sessions/end")
async def end_sessions(page: SignedIn, fields: Form) -> Response:
    """End one session, or all with `session=all`."""
    given = field(fields, "session")
    one = None if given == "all" else given
    await asyncio.to_thread(page.console.users.end_sessions, _user(page).user_id, one)
    response = go("/login" if one in (None, token_hash(session_of(page.request))) else "/profile")
    if one is None:
        drop_session(page.request, response)
    return response


def _user(page: Page) -> User:
    assert page.user is not None
    return page.user


async def _profile_page(page: Page, problem: str = "", status: int = 200) -> Response:
    user = _user(page)
    sessions = await asyncio.to_thread(page.console.users.sessions, user.user_id, now_ms())
    secret = "" if user.totp_secret else totp.make_secret()
    values = {
        "problem": page.text(problem) if problem else "",
        "sessions": sessions,
        "this_session": token_hash(session_of(page.request)),
        "secret": secret,
        "secret_address": totp.address_of_secret(secret, user.login) if secret else "",
    }
    return page.render("profile.html", status, **values)
