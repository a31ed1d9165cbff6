"""Throttling of logins, by account and address, that locks nobody out. In memory; this process's own.

Every try is counted before its password is looked at, so that a burst cannot have more hashes computed than its share.
One that has no tries left waits for the window to pass; the account's owner, who comes from another address, does not.
"""

from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

_OF_ACCOUNT: Final = RateLimitItemPerMinute(8)
_OF_ADDRESS: Final = RateLimitItemPerMinute(40)
RETRY_SECONDS: Final = 60
_LONGEST_LOGIN: Final = 64


class LoginThrottle:
    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def take_try(self, login: str, address: str) -> bool:
        """Count a try; False: there are none left for now."""
        if not self._limiter.hit(_OF_ADDRESS, address):
            return False
        return self._limiter.hit(_OF_ACCOUNT, login[:_LONGEST_LOGIN], address)
