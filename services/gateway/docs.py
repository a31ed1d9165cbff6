"""`/docs` and `/openapi.json` of the whole API."""

from collections.abc import Awaitable, Callable

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.web.docs_page import DOCUMENT_PATH, add_docs_page
from services.web.openapi import Document


def add_docs(app: FastAPI, document: Callable[[], Awaitable[Document]]) -> None:
    """`document` gives the OpenAPI document of the moment."""

    async def openapi(_request: Request) -> Response:
        return Response(orjson.dumps(await document()), media_type="application/json")

    app.router.routes.append(Route(DOCUMENT_PATH, openapi))
    add_docs_page(app)
