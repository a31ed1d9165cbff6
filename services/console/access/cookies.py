"""The session's cookie: its name and attributes, by how the console is reached. Pure."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

_NAME: Final = "attrikit_session"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
MAX_AGE_SECONDS: Final = 7 * 86_400


def is_plain(request: Request) -> bool:
    """Tell whether the console is reached over plain HTTP on this machine, where a cookie may do without `Secure`."""
    return request.url.scheme == "http" and (request.url.hostname or "") in _LOOPBACK


def session_of(request: Request) -> str:
    return request.cookies.get(_name(request), "")


def set_session(request: Request, response: Response, token: str) -> None:
    response.set_cookie(
        _name(request),
        token,
        max_age=MAX_AGE_SECONDS,
        path="/",
        secure=not is_plain(request),
        httponly=True,
        samesite="lax",
    )


def drop_session(request: Request, response: Response) -> None:
    response.delete_cookie(_name(request), path="/", secure=not is_plain(request), httponly=True, samesite="lax")


def _name(request: Request) -> str:
    return _NAME if is_plain(request) else f"__Host-{_NAME}"
