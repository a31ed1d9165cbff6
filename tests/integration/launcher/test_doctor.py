"""What the doctor sees of the Redis that counts requests."""

from redis import Redis
from redis_process import RedisServer

from deploy.doctor.observe import observe_redis_if_any


async def test_the_version_of_redis_is_told(redis_server: RedisServer) -> None:
    with Redis.from_url(redis_server.url) as redis:
        version = redis.info("server")["redis_version"]
        redis.acl_setuser("counter", enabled=True, passwords=["+hush"], keys=["*"], commands=["+ping"])
    away = dict[str, str]()
    (server,) = await observe_redis_if_any(redis_server.url, away)
    assert (server.version, server.is_older) == (version, False)
    (silent,) = await observe_redis_if_any(redis_server.url.replace("//", "//counter:hush@"), away)
    assert (silent.version, away) == ("", {})
    assert await observe_redis_if_any("", away) == ()


async def test_a_redis_that_is_away_or_refuses_is_told_without_its_password(redis_server: RedisServer) -> None:
    away = dict[str, str]()
    assert await observe_redis_if_any(redis_server.url.replace("//", "//nobody:hush@"), away) == ()
    assert away == {"Redis": "AuthenticationError"}
    redis_server.kill()
    assert await observe_redis_if_any(redis_server.url, away) == ()
    assert away == {"Redis": "ConnectionError"}
