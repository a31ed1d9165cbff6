"""Ask the Redis that counts requests for its version."""

from typing import Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from deploy.doctor.findings import Server

_TESTED: Final = (7, 0)
"""The oldest release that tests run on. The commands that are used are older: a script with INCRBY and EXPIRE."""
_SECONDS: Final = 3.0


async def observe_redis(url: str) -> Server:
    """Return the server; without a version where it does not tell. Raises `RedisError` and `OSError`."""
    async with Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS) as redis:
        try:
            told = await redis.info("server")
        except ResponseError:  # the user may have no right to INFO
            return Server("Redis", "", _TESTED)
        return Server("Redis", str(told.get("redis_version", "")), _TESTED)
