"""`/docs`: the OpenAPI document to read and try. Its scripts come from an installed package: no network is needed."""

from importlib.resources import files
from mimetypes import guess_type
from typing import Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

DOCUMENT_PATH: Final = "/openapi.json"
ASSETS_PATH: Final = "/docs/assets"
_SCRIPT: Final = "swagger-ui-bundle.js"
_STYLE: Final = "swagger-ui.css"
_ICON: Final = "favicon.png"
_ASSETS: Final = (_SCRIPT, _STYLE, _ICON)


def add_docs_page(app: FastAPI) -> None:
    """Add the page to an application made with `docs_url=None, redoc_url=None` that serves its document at
    `DOCUMENT_PATH`.
    """

    async def docs(_request: Request) -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=DOCUMENT_PATH,
            title=app.title,
            swagger_js_url=f"{ASSETS_PATH}/{_SCRIPT}",
            swagger_css_url=f"{ASSETS_PATH}/{_STYLE}",
            swagger_favicon_url=f"{ASSETS_PATH}/{_ICON}",
            # Else the page would show the document's address to a service on the internet.
            swagger_ui_parameters={"validatorUrl": None},
        )

    app.router.routes.extend(_asset(name) for name in _ASSETS)
    app.router.routes.append(Route("/docs", docs))


def _asset(name: str) -> Route:
    """Serve a file of the page from memory, in one piece: read from the disk it would take a thread for each part of
    each answer, and clients that ask for it often would slow all others."""
    body = (files("fastapi_offline") / "static" / name).read_bytes()
    media_type, _ = guess_type(name)

    async def answer(_request: Request) -> Response:
        return Response(body, media_type=media_type, headers={"Cache-Control": "public, max-age=3600"})

    return Route(f"{ASSETS_PATH}/{name}", answer)
