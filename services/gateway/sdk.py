"""`/sdk/…`: the browser SDK's built files, read once from the package's own data.

`/sdk/<version>/…` never changes and is kept by browsers for a year; `/sdk/latest/…` is the greatest version, looked at
again after five minutes. Pages of any origin may load them: they are the same for everybody.
"""

import zlib
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

import brotli
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.web.errors import no_path

PATH: Final = "/sdk/{version}/{name}"
LATEST: Final = "latest"
_MEDIA_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".json": "application/json"}
_UNCHANGING: Final = "public, max-age=31536000, immutable"
_SHORT: Final = "public, max-age=300"
_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Timing-Allow-Origin": "*",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


class Coded(NamedTuple):
    """A file in one coding. `coding`: empty for none."""

    coding: str
    body: bytes
    etag: str


class SdkFiles:
    """The built files of every version, each plain and compressed."""

    def __init__(self, folder: Traversable) -> None:
        """`folder` holds a folder for each version."""
        self._files = {
            (version.name, file.name): _codings(file.read_bytes())
            for version in folder.iterdir()
            for file in _files_of(version)
        }
        self.latest = max((version for version, _ in self._files), key=_number, default="")

    def find(self, version: str, name: str, accepted: str) -> Coded | None:
        """The file in the best coding a client accepts. `accepted`: its `Accept-Encoding`."""
        codings = self._files.get((self.latest if version == LATEST else version, name))
        if codings is None:
            return None
        wanted = {part.partition(";")[0].strip() for part in accepted.lower().split(",")}
        return next((coded for coded in codings if coded.coding in wanted), codings[-1])


@cache
def served_files() -> SdkFiles:
    """The package's own files, read and compressed once a process: compressing takes 50 ms."""
    return SdkFiles(files("services.sdk") / "served")


def add_sdk(app: FastAPI) -> None:
    found = served_files()

    async def serve(request: Request) -> Response:
        version, name = request.path_params["version"], request.path_params["name"]
        coded = found.find(version, name, request.headers.get("accept-encoding", ""))
        if coded is None:
            raise no_path()
        return _answer(coded, version, name, request.headers.get("if-none-match", ""))

    app.router.routes.append(Route(PATH, serve))


def _answer(coded: Coded, version: str, name: str, known: str) -> Response:
    headers = _HEADERS | {"ETag": coded.etag, "Cache-Control": _SHORT if version == LATEST else _UNCHANGING}
    if coded.etag in known:
        return Response(status_code=304, headers=headers)
    if coded.coding:
        headers["Content-Encoding"] = coded.coding
    headers["Content-Type"] = _MEDIA_TYPES.get(name[name.rfind(".") :], "application/octet-stream")
    return Response(coded.body, headers=headers)


def _files_of(version: Traversable) -> Iterator[Traversable]:
    return (file for file in version.iterdir() if file.is_file()) if version.is_dir() else iter(())


def _codings(body: bytes) -> tuple[Coded, ...]:
    """The same in each coding, the smallest first, the plain one last."""
    digest = sha256(body).hexdigest()[:32]
    gzip = zlib.compressobj(9, zlib.DEFLATED, 31)
    return (
        Coded("br", brotli.compress(body), f'"{digest}-br"'),
        Coded("gzip", gzip.compress(body) + gzip.flush(), f'"{digest}-gzip"'),
        Coded("", body, f'"{digest}"'),
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else -1 for part in version.split("."))
