"""The bytes a service may hold at once, shared fairly between apps: bodies and records of the gateway, answers of the
query service.

Every byte is charged to the app whose key the request carries and to the network it comes from (if that is known), so
there is no charge before there is a key. An app may hold as much as it leaves free: alone half of the budget, beside
another that does the same a third. A client network may hold what its app leaves free, less an eighth. Two parts
nobody takes from the rest:

    an eighth of an app's share       for networks that hold little (`_SMALL_NETWORK`)
    an eighth of the whole budget     for apps that hold little (`_SMALL_APP`)
"""

from threading import Lock
from types import TracebackType
from typing import Final, NamedTuple

from pipeline.runtime.client_address import client_network

_RESERVED: Final = 8
_SMALL_APP: Final = 64
_SMALL_NETWORK: Final = 512
"""Divisors of the budget: holdings below the quotient count as small."""


class Payer(NamedTuple):
    """The app and client network that bytes are charged to."""

    app_id: str
    network: str | None = None
    """None: not known, or not looked at; then the bytes are charged to the app alone."""


def payer_of(app_id: str, address: str) -> Payer:
    """`address`: the client's in its usual form; empty where it is not known."""
    return Payer(app_id, client_network(address))


class Budget:
    """Counter of bytes, for any thread; never waits. Past the limit `take` refuses, and the caller of the API is told
    to retry."""

    def __init__(self, limit_bytes: int) -> None:
        self._lock = Lock()
        self._limit_bytes = limit_bytes
        self._open_bytes = limit_bytes - limit_bytes // _RESERVED
        self._used_bytes = 0
        self._by_app: dict[str, int] = {}
        self._by_network: dict[str, int] = {}

    @property
    def used_bytes(self) -> int:
        return self._used_bytes

    @property
    def is_half_used(self) -> bool:
        return self._used_bytes * 2 > self._limit_bytes

    def take(self, payer: Payer, size_bytes: int) -> bool:
        with self._lock:
            used = self._used_bytes + size_bytes
            by_app = self._by_app.get(payer.app_id, 0) + size_bytes
            by_network = 0 if payer.network is None else self._by_network.get(payer.network, 0) + size_bytes
            # With a quarter in use everything fits, whoever holds it.
            if used * 4 > self._limit_bytes and not self._fits(used, by_app, by_network):
                return False
            self._used_bytes = used
            self._by_app[payer.app_id] = by_app
            if payer.network is not None:
                self._by_network[payer.network] = by_network
            return True

    def give_back(self, payer: Payer, size_bytes: int) -> None:
        with self._lock:
            self._used_bytes -= size_bytes
            _subtract(self._by_app, payer.app_id, size_bytes)
            if payer.network is not None:
                _subtract(self._by_network, payer.network, size_bytes)

    def _fits(self, used: int, by_app: int, by_network: int) -> bool:
        """The three sums as they would be; `by_network` is 0 where there is none."""
        free = self._open_bytes - used
        if by_app > free and (by_app * _SMALL_APP > self._limit_bytes or used > self._limit_bytes):
            return False
        left_by_app = free - free // _RESERVED - by_app
        return by_network <= left_by_app or by_network * _SMALL_NETWORK <= self._limit_bytes


def _subtract(held: dict[str, int], name: str, size_bytes: int) -> None:
    left = held.get(name, 0) - size_bytes
    if left:
        held[name] = left
    else:
        held.pop(name, None)


class Overloaded(Exception):
    """Error: too many bytes are held already: refuse at once, nothing was done."""


class Held:
    """The bytes one request holds, given back when it ends."""

    __slots__ = ("_budget", "_size_bytes", "payer")

    def __init__(self, budget: Budget, payer: Payer) -> None:
        self._budget = budget
        self.payer = payer
        self._size_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Take bytes. Raises `Overloaded`."""
        if not self._budget.take(self.payer, size_bytes):
            raise Overloaded
        self._size_bytes += size_bytes

    def release(self) -> None:
        """Give back all that is held so far."""
        size_bytes, self._size_bytes = self._size_bytes, 0
        self._budget.give_back(self.payer, size_bytes)

    def __enter__(self) -> "Held":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
