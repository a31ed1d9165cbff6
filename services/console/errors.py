"""Pages of errors: what is wrong, and what to do."""

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from pipeline.control import ControlPlaneError, SnapshotNotLoaded, UnknownRecord
from services.console.i18n.catalogue import text
from services.console.page import Page, go
from services.console.reading import AddressTooLong, ReadFailed
from services.console.visitor import Refused, console_of
from services.web.envelope import Reply
from services.web.errors import ApiError
from services.web.handlers import error_response
from services.web.middleware import request_id_of

_TITLES: Final = {
    400: text("This cannot be done"),
    403: text("This is not for you"),
    404: text("There is nothing here"),
    405: text("This cannot be done"),
    409: text("This cannot be done"),
    413: text("This is too large"),
    429: text("Too many requests"),
    500: text("Something went wrong"),
    503: text("The data cannot be read now"),
}
_ADVICE: Final = {
    400: text("Go back, change what is named here, and try again."),
    403: text("Ask an admin for the right, or open another page."),
    404: text("The address is wrong, or what it names was removed or is not yours to see."),
    500: text("Try again. If it happens again, give the request id below to whoever runs this installation."),
    503: text("The service behind this page is starting or away. Try again in a moment."),
}
_TOO_LONG: Final = text("What this address asks for is too long.")


def install_error_pages(app: FastAPI) -> None:
    handlers: dict[type[Exception], Callable[[Request, Exception], Response]] = {
        ApiError: _of_operations,
        Refused: _refused,
        AddressTooLong: _address_too_long,
        ReadFailed: _read_failed,
        ControlPlaneError: _not_acceptable,
        SnapshotNotLoaded: _away,
        SQLAlchemyError: _away,
        RequestValidationError: _not_understood,
        HTTPException: _http,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def error_page(request: Request, status: int, reason: str = "") -> Response:
    """Make the page. `reason` is in the reader's language already."""
    page = Page(request, console_of(request))
    title = page.text(_TITLES.get(status, _TITLES[500 if status >= 500 else 400]))
    advice = page.text(_ADVICE.get(status, _ADVICE[500 if status >= 500 else 400]))
    request_id = request_id_of(request.scope)
    return page.render("error.html", status, title=title, reason=reason, advice=advice, request_id=request_id)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    if error.status == 401:
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return go("/login" if request.method != "GET" or path == "/" else f"/login?next={quote(path)}")
    reason = Page(request, console_of(request)).text(error.reason) if error.reason else ""
    return error_page(request, error.status, reason)


def _of_operations(request: Request, error: Exception) -> Response:
    """`/metrics` and its like are for programs."""
    assert isinstance(error, ApiError)
    return error_response(request, error)


def _read_failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, ReadFailed)
    return error_page(request, 503 if error.status >= 500 else error.status, error.message)


def _address_too_long(request: Request, _error: Exception) -> Response:
    return error_page(request, 400, Page(request, console_of(request)).text(_TOO_LONG))


def _not_acceptable(request: Request, error: Exception) -> Response:
    assert isinstance(error, ControlPlaneError)
    reason = Page(request, console_of(request)).told(error)
    return error_page(request, 404 if isinstance(error, UnknownRecord) else 400, reason)


def _away(request: Request, _error: Exception) -> Response:
    return error_page(request, 503)


def _not_understood(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return error_page(request, 400, ", ".join(str(one["loc"][-1]) for one in error.errors()))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_page(request, error.status_code)


def page_of_crash(scope: Scope, _request_id: str) -> Reply:
    """The page after a crash."""
    page = error_page(Request(scope), 500)
    return Reply(
        page.status_code, bytes(page.body), tuple(pair for pair in page.raw_headers if pair[0] != b"content-length")
    )
