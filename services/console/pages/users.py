"""Users: the list, a new one, role and apps, a reset password. For admins."""

import asyncio
import secrets
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from pipeline.control import AlreadyExists, InvalidRecord
from pipeline.control.users import Role, User
from pipeline.runtime.clock import now_ms
from services.console.access.passwords import make_password, problem_with
from services.console.page import Page, go
from services.console.visitor import AdminPage, Form, chosen, field

router = APIRouter()


@router.get("/users")
async def list_users(page: AdminPage) -> Response:
    return await _users_page(page)


@router.post("/users")
async def add_user(page: AdminPage, fields: Form) -> Response:
    """Add a user with the password given or made; it is shown in this answer, once."""
    password = field(fields, "password") or make_password()
    user = _with_fields(User("usr_" + secrets.token_hex(12), field(fields, "login").lower(), Role.USER), fields, page)
    if problem := problem_with(password):
        return await _users_page(page, 400, problem=page.text(problem))
    user = replace(user, password_hash=await page.console.passwords.hash(password), is_active=True)
    users = page.console.users_with(page.entry("user.add", user.login, after=_values(user)))
    try:
        await asyncio.to_thread(users.add, user, now_ms())
    except (AlreadyExists, InvalidRecord) as error:
        return await _users_page(page, 400, problem=page.told(error))
    return await _users_page(page, told=(user.login, password))


@router.get("/users/{user_id}")
async def show_user(page: AdminPage, user_id: str) -> Response:
    person = await asyncio.to_thread(page.console.users.by_id, user_id)
    return _user_page(page, person)


@router.post("/users/{user_id}")
async def change_user(page: AdminPage, user_id: str, fields: Form) -> Response:
    known = await asyncio.to_thread(page.console.users.by_id, user_id)
    changed = replace(_with_fields(known, fields, page), is_active=field(fields, "is_active") == "yes")
    users = page.console.users_with(page.entry("user.change", known.login, _values(known), _values(changed)))
    try:
        await asyncio.to_thread(users.update, changed)
    except InvalidRecord as error:
        return _user_page(page, known, page.told(error), 400)
    return go("/users")


@router.post("/users/{user_id}/password")
async def reset_password(page: AdminPage, user_id: str, fields: Form) -> Response:
    """Give a user a made password, shown in this answer, once. Their sessions end, and so does a second factor."""
    known = await asyncio.to_thread(page.console.users.by_id, user_id)
    password = make_password()
    hashed = await page.console.passwords.hash(password)
    users = page.console.users_with(page.entry("user.reset_password", known.login))
    await asyncio.to_thread(users.set_password, user_id, hashed)
    if known.totp_secret:
        off = page.console.users_with(page.entry("user.totp_off", known.login))
        await asyncio.to_thread(off.set_totp, user_id, "")
    return await _users_page(page, told=(known.login, password))


@router.post("/users/{user_id}/remove")
async def remove_user(page: AdminPage, user_id: str, fields: Form) -> Response:
    known = await asyncio.to_thread(page.console.users.by_id, user_id)
    users = page.console.users_with(page.entry("user.remove", known.login, _values(known)))
    try:
        await asyncio.to_thread(users.remove, user_id)
    except InvalidRecord as error:
        return _user_page(page, known, page.told(error), 400)
    return go("/users")


def _with_fields(user: User, fields: FormData, page: Page) -> User:
    role = Role.ADMIN if field(fields, "role") == Role.ADMIN.value else Role.USER
    known = page.console.snapshots.current().apps
    app_ids = frozenset(app_id for app_id in chosen(fields, "app") if app_id in known)
    return replace(user, role=role, display_name=field(fields, "display_name"), app_ids=app_ids)


def _values(user: User) -> dict[str, Any]:
    """What may be logged of a user: no secrets."""
    return {
        "login": user.login,
        "display_name": user.display_name,
        "role": user.role.value,
        "app_ids": sorted(user.app_ids),
        "is_active": user.is_active,
    }


async def _users_page(
    page: Page, status: int = 200, problem: str = "", told: tuple[str, str] | None = None
) -> Response:
    people = await asyncio.to_thread(page.console.users.users)
    return page.render("users.html", status, people=people, problem=problem, told=told)


def _user_page(page: Page, person: User, problem: str = "", status: int = 200) -> Response:
    return page.render("user.html", status, person=person, problem=problem)
