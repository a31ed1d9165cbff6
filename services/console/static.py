"""Style sheet and scripts, read once; their addresses change with their content, so that browsers keep them."""

from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console.page import SECURITY_HEADERS

PREFIX: Final = "/static/"
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_KEPT: Final = {"Cache-Control": "public, max-age=31536000, immutable"}


class StaticFiles:
    """The files of a folder. `urls`: file name → address."""

    def __init__(self, folder: Path) -> None:
        self._files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in _TYPES}
        self.urls = {name: f"{PREFIX}{sha256(body).hexdigest()[:12]}/{name}" for name, body in self._files.items()}

    def route(self) -> Route:
        return Route(PREFIX + "{version}/{name}", self._answer)

    async def _answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        if self.urls.get(name) != request.url.path:
            return Response(status_code=404, headers=SECURITY_HEADERS)
        media_type = _TYPES[Path(name).suffix]
        return Response(self._files[name], media_type=media_type, headers=SECURITY_HEADERS | _KEPT)
