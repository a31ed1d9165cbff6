"""Checks of single settings: addresses, URLs, networks, delays. Pure.

Each returns what it was given, or raises a `ValueError` in words that hold nothing secret.
"""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

from pipeline.runtime.client_address import parse_networks

_ADDRESS: Final = re.compile(r"[^\s:/]+:\d{1,5}\Z|\[[0-9A-Fa-f:.]+\]:\d{1,5}\Z")
_DELAY: Final = re.compile(r"\d{1,6}(\.\d+)?\Z")
_CLUSTER: Final = re.compile(r"[A-Za-z0-9_.\-]{1,100}\Z")
_LONGEST_DELAY_SECONDS: Final = 7 * 86_400
_MAX_DELAYS: Final = 100


def check_url(*schemes: str) -> Callable[[str], str]:
    """Return a check: the URL is of one of these kinds, or empty. The message of its ValueError holds nothing that may
    be secret.
    """

    def check(given: str) -> str:
        parts = urlsplit(given)
        if given and (parts.scheme not in schemes or not (parts.netloc or parts.path)):
            kind = f"{parts.scheme}://" if parts.scheme.isalnum() else "this"
            raise ValueError(f"{kind} cannot be used here: expected {', '.join(f'{name}://' for name in schemes)}…")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("its port is no number") from None
        return given

    return check


def check_hosts(given: str) -> str:
    for url in url_of_each_host(given):
        check_url("http", "https")(url)
    return given


def check_collector(given: str) -> str:
    if "@" in urlsplit(given).netloc:
        raise ValueError("it holds a login, which belongs into OTEL_EXPORTER_OTLP_HEADERS")
    return check_url("http", "https")(given)


def check_cluster(given: str) -> str:
    if given and not _CLUSTER.match(given):
        raise ValueError("expected letters, digits, '_', '-' and '.'")
    return given


def url_of_each_host(url: str) -> tuple[str, ...]:
    """Return a URL for each host of one that names several, `http://user:password@a:1,b:2/database` (pure)."""
    start, separator, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    login, at, hosts = place.rpartition("@")
    return tuple(f"{start}{separator}{login}{at}{host.strip()}{slash}{path}" for host in hosts.split(","))


def secret(check: Callable[[str], str]) -> AfterValidator:
    """Return the validator of a secret whose text must pass the check."""

    def check_secret(given: SecretStr) -> SecretStr:
        check(given.get_secret_value())
        return given

    return AfterValidator(check_secret)


def check_redis(given: str) -> str:
    if check_url("redis", "rediss", "unix")(given):
        from redis.asyncio.connection import parse_url  # takes a while, and few need it

        parse_url(given)  # reads the options after `?`
    return given


def check_addresses(given: str) -> str:
    addresses = [address.strip() for address in given.split(",")]
    if not all(_ADDRESS.match(address) and int(address.rpartition(":")[2]) <= 65_535 for address in addresses):
        raise ValueError("expected host:port, several separated by commas")
    return given


def check_networks(given: str) -> str:
    parse_networks(given)
    return given


def check_delays(given: str) -> str:
    if not all(_DELAY.match(delay.strip()) for delay in given.split(",") if delay.strip()):
        raise ValueError("expected seconds, several separated by commas")
    delays = seconds_of(given)
    if len(delays) > _MAX_DELAYS or not all(0 < delay <= _LONGEST_DELAY_SECONDS for delay in delays):
        raise ValueError(f"expected at most {_MAX_DELAYS} delays, each more than 0 seconds and at most 7 days")
    return given


def seconds_of(given: str) -> tuple[float, ...]:
    return tuple(float(part) for part in given.split(",") if part.strip())
