"""`/docs`: the OpenAPI document to read and try. Its scripts come from an installed package: no network is needed."""

from importlib.resources import files
from typing import Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

DOCUMENT_PATH: Final = "/openapi.json"
ASSETS_PATH: Final = "/docs/assets"


def add_docs_page(app: FastAPI) -> None:
    """Add the page to an application made with `docs_url=None, redoc_url=None` that serves its document at
    `DOCUMENT_PATH`.
    """

    async def docs(_request: Request) -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=DOCUMENT_PATH,
            title=app.title,
            swagger_js_url=f"{ASSETS_PATH}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS_PATH}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS_PATH}/favicon.png",
            # Else the page would show the document's address to a service on the internet.
            swagger_ui_parameters={"validatorUrl": None},
        )

    static = StaticFiles(directory=str(files("fastapi_offline") / "static"))
    app.router.routes.append(Mount(ASSETS_PATH, static))
    app.router.routes.append(Route("/docs", docs))
