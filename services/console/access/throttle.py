"""Throttling of logins, by account and address, that locks nobody out. In memory; this process's own.

A wrong password costs its (account, address) and its address a try. One that has no tries left waits for the window to
pass; the account's owner, who comes from another address, does not.
"""

from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

_OF_ACCOUNT: Final = RateLimitItemPerMinute(8)
_OF_ADDRESS: Final = RateLimitItemPerMinute(40)
RETRY_SECONDS: Final = 60


class LoginThrottle:
    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def may_try(self, login: str, address: str) -> bool:
        """Tell whether another try is allowed."""
        return self._limiter.test(_OF_ACCOUNT, login[:64], address) and self._limiter.test(_OF_ADDRESS, address)

    def note_failure(self, login: str, address: str) -> None:
        self._limiter.hit(_OF_ACCOUNT, login[:64], address)
        self._limiter.hit(_OF_ADDRESS, address)
