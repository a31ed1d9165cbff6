"""ASGI applications on real sockets, in one thread of this process."""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from services.web.server import SERVER_OPTIONS


class AppServers:
    """Servers that share an event loop of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="app-servers", daemon=True)
        self._servers: list[tuple[uvicorn.Server, Future[None]]] = []
        self._server_of: dict[str, uvicorn.Server] = {}

    def start(self) -> None:
        self._thread.start()

    def run(self, make: Callable[[], Any]) -> Any:
        """The result of a coroutine function, run in the servers' event loop."""
        return asyncio.run_coroutine_threadsafe(make(), self._loop).result(30)

    def stop(self) -> None:
        for server, serving in reversed(self._servers):
            server.should_exit = True
            serving.result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def serve(self, app: ASGIApp, port: int = 0, **options: Any) -> str:
        listening = socket.create_server(("127.0.0.1", port))
        # A server that binds its address itself sets it; without it small answers wait 40 ms for an acknowledgement.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(app, **SERVER_OPTIONS | options)
        server = uvicorn.Server(config)
        serving = asyncio.run_coroutine_threadsafe(server.serve([listening]), self._loop)
        self._servers.append((server, serving))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server_of[url] = server
        return url

    def open_connections(self, url: str) -> int:
        """Return how many connections the server at `url` has open."""
        return len(self._server_of[url].server_state.connections)
