"""Rate of requests by app id: so many a second from one client network, for each app.

An app's id is public, so without a limit any visitor could use up what the app's plan allows for a day. Each gateway
process counts for itself, in windows of one second of which only the last is kept: memory is bounded by what it
answers in a second, and no request waits for the counting or looks at other clients' counts.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from pipeline.runtime.client_address import client_network
from pipeline.runtime.clock import now_ms
from schemas.control import App
from services.web.errors import Text
from services.web.quota.rules import judge, second_of

TOO_OFTEN: Final = Text(
    "同一客户端网络凭应用 ID 的请求过于频繁", "too many requests a second by app id from one client network"
)


class ClientRate:
    def __init__(self, limit: int, clock: Callable[[], int] = now_ms) -> None:
        """`limit`: requests a second. `clock`: milliseconds since the epoch."""
        self._limit = limit
        self._clock = clock
        self._ends_at_ms = 0
        self._used: Counter[tuple[str, str]] = Counter()

    def check(self, app: App, address: str) -> None:
        """Count a request. `address`: the client's, empty where it is not known. Raises RATE_LIMIT_EXCEEDED."""
        at_ms = self._clock()
        window = second_of("app-id", app, self._limit, at_ms)
        if window.ends_at_ms != self._ends_at_ms:
            self._ends_at_ms = window.ends_at_ms
            self._used.clear()
        client = (app.app_id, client_network(address))
        self._used[client] += 1
        judge(window, self._used[client], at_ms, TOO_OFTEN)
