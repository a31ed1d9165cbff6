"""`/`: leads a browser to the console. Programs, which do not ask for HTML, get what any unknown path gets."""

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.web.errors import no_path

PATH: Final = "/"


def home(console_url: str) -> Route:
    """Return the route; `console_url`: the console's address as people reach it."""

    async def lead(request: Request) -> Response:
        if "text/html" not in request.headers.get("Accept", ""):
            raise no_path()
        return RedirectResponse(console_url, 303)

    return Route(PATH, lead)
