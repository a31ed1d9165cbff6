"""Access to pages, as dependencies of routes: for everybody, signed-in people, those of an app, admins.

`AnyPage`, `SignedIn`, `OfApp`, `AdminOfApp` and `AdminPage` say for whom a page is; `Form` is for requests that change
something, which must come from a page of ours.
"""

import asyncio
from typing import Annotated, Final, TypeVar

from fastapi import Depends, Request
from starlette.datastructures import FormData

from pipeline.control.users import User
from pipeline.runtime.clock import now_ms
from services.console.access.cookies import session_of
from services.console.access.forms import is_same_origin, is_token
from services.console.i18n.catalogue import text
from services.console.page import Page
from services.console.state import Console

MAX_FORM_BYTES: Final = 12 * 1024 * 1024
_MAX_FIELDS: Final = 500
_MAX_FIELD_BYTES: Final = 256 * 1024
T = TypeVar("T")


class Refused(Exception):
    """Error: the page is not for this visitor. `status`: 401 leads to the login."""

    def __init__(self, status: int, reason: str = "") -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        """In English, which is its key in the catalogue."""


def required(found: T | None) -> T:
    """Refuse with 404 what was not found."""
    if found is None:
        raise Refused(404)
    return found


def console_of(request: Request) -> Console:
    console: Console = request.app.state.console
    return console


async def user_of(request: Request) -> User | None:
    token = session_of(request)
    if not token:
        return None
    return await asyncio.to_thread(console_of(request).users.of_session, token, now_ms())


async def still_may_see(page: Page) -> bool:
    """Tell whether the reader of an app's page that stays open is signed in and may see the app, as of now."""
    token, users = session_of(page.request), page.console.users
    user = await asyncio.to_thread(users.of_session, token, now_ms(), notes_use=False)
    return user is not None and user.may_see(page.app_id) and page.app_id in page.console.snapshots.current().apps


async def any_page(request: Request) -> Page:
    """A page that everybody may see."""
    return Page(request, console_of(request), await user_of(request))


async def signed_in(page: Annotated[Page, Depends(any_page)]) -> Page:
    if page.user is None:
        raise Refused(401)
    return page


async def of_app(page: Annotated[Page, Depends(signed_in)], app_id: str) -> Page:
    """A page of an app that was given to the reader. One of another app looks like one of none."""
    app = page.console.snapshots.current().apps.get(app_id)
    assert page.user is not None
    if app is None or not page.user.may_see(app_id):
        raise Refused(404)
    return Page(page.request, page.console, page.user, app)


async def of_admin(page: Annotated[Page, Depends(signed_in)]) -> Page:
    assert page.user is not None
    if not page.user.is_admin:
        raise Refused(403, text("Only an admin may see this page."))
    return page


async def admin_of_app(page: Annotated[Page, Depends(of_app)]) -> Page:
    return await of_admin(page)


async def public_form(request: Request) -> FormData:
    """The fields of a form that needs no session."""
    if not is_same_origin(request.headers):
        raise Refused(403, text("The form was sent from another site. Open the page here and send it again."))
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > MAX_FORM_BYTES:
        raise Refused(413, text("The form is too large."))
    return await _read_form(request)


async def _read_form(request: Request) -> FormData:
    """Read the fields, by the charset that the request names. Refuses with 400 what is no text in it."""
    try:
        found = await request.form(max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES)
        _check_texts(found)
    except ValueError:  # the parser lets other errors of a codec pass than that of UTF-8
        raise Refused(400, text("The form cannot be read. Open the page here and send it again.")) from None
    return found


def _check_texts(fields: FormData) -> None:
    """Raise `UnicodeEncodeError` if half a character is among names and values: some charsets can write one, and
    nothing can store or show it.
    """
    for name, given in fields.multi_items():
        name.encode()
        (given if isinstance(given, str) else given.filename or "").encode()


async def form(request: Request, fields: Annotated[FormData, Depends(public_form)]) -> FormData:
    """The fields of a form of a signed-in person, with the token of the page it stood on."""
    if not is_token(str(fields.get("token", "")), session_of(request)):
        raise Refused(403, text("The page was open for too long. Open it again and send the form once more."))
    return fields


AnyPage = Annotated[Page, Depends(any_page)]
SignedIn = Annotated[Page, Depends(signed_in)]
OfApp = Annotated[Page, Depends(of_app)]
AdminOfApp = Annotated[Page, Depends(admin_of_app)]
AdminPage = Annotated[Page, Depends(of_admin)]
PublicForm = Annotated[FormData, Depends(public_form)]
Form = Annotated[FormData, Depends(form)]


def field(fields: FormData, name: str) -> str:
    """Return a field's text without spaces around it; empty where it is absent or a file."""
    given = fields.get(name, "")
    return given.strip() if isinstance(given, str) else ""


def chosen(fields: FormData, name: str) -> list[str]:
    """Return all values of a field that may be given several times."""
    return [given for given in fields.getlist(name) if isinstance(given, str) and given]
