"""`/docs` and `/openapi.json`. The pages' scripts come from an installed package: no network is needed to read them."""

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

import orjson
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from services.gateway.openapi import Document

ASSETS_PATH: Final = "/docs/assets"


def add_docs(app: FastAPI, document: Callable[[], Awaitable[Document]]) -> None:
    """`document` gives the OpenAPI document of the moment."""

    async def openapi(_request: Request) -> Response:
        return Response(orjson.dumps(await document()), media_type="application/json")

    async def docs(_request: Request) -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url=f"{ASSETS_PATH}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS_PATH}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS_PATH}/favicon.png",
        )

    static = StaticFiles(directory=str(files("fastapi_offline") / "static"))
    app.router.routes.append(Route("/openapi.json", openapi))
    app.router.routes.append(Mount(ASSETS_PATH, static))
    app.router.routes.append(Route("/docs", docs))
