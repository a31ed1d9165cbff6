"""Routing of ids that hold slashes. Pure.

`/users/a%2Fb` asks for the person `a/b`. A router sees paths decoded, where that slash would divide: it is put as a
character no decoding gives (half of a surrogate pair) until the id has been cut out.
"""

import re
from typing import Annotated, Final
from urllib.parse import unquote

from pydantic import BeforeValidator
from starlette.types import ASGIApp, Receive, Scope, Send

_KEPT_SLASH: Final = "\udc2f"
_ENCODED_SLASH: Final = re.compile("%2f", re.IGNORECASE)


def routable(raw_path: str) -> str:
    """Decode a path of the request line so that only its own slashes divide it."""
    return unquote(_ENCODED_SLASH.sub(_KEPT_SLASH, raw_path))


WithSlashes = Annotated[str, BeforeValidator(lambda text: text.replace(_KEPT_SLASH, "/"))]
"""Converter that restores the slashes in a part of a path."""


class KeepSlashes:
    """ASGI middleware around the router that keeps encoded slashes apart."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and b"%2" in scope["raw_path"]:
            scope["path"] = routable(scope["raw_path"].decode("latin-1"))
        await self._app(scope, receive, send)
