"""How clients connect to Kafka: addresses, TLS and SASL, the same for every client of every process.

`connection_options` is what aiokafka's clients take; Faust's are made from it (`pipeline.stream.app`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx
from aiokafka.abc import AbstractTokenProvider

from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.tls import TlsContext

_TOKEN_SECONDS: Final = 10.0
_SHORTEST_LIFE_SECONDS: Final = 60.0
_USED_SHARE: Final = 0.8
"""A token is asked for anew after this share of its life: a connection may outlive the rest."""


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return aiokafka's keyword arguments. Raises `OSError` if a file of TLS cannot be read."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        options["ssl_context"] = TlsContext(
            settings.kafka_ca_path,
            settings.kafka_certificate_path,
            settings.kafka_key_path,
            settings.kafka_key_password.get_secret_value(),
        )
    if settings.kafka_security_protocol.startswith("SASL_"):
        options |= _login(settings)
    return options


def _login(settings: KafkaSettings) -> dict[str, Any]:
    mechanism = settings.kafka_sasl_mechanism
    if mechanism != "OAUTHBEARER":
        user, password = settings.kafka_username, settings.kafka_password.get_secret_value()
        return {"sasl_mechanism": mechanism, "sasl_plain_username": user, "sasl_plain_password": password}
    path = settings.kafka_token_path
    provider = FileToken(path) if path else GrantedToken(settings)
    return {"sasl_mechanism": mechanism, "sasl_oauth_token_provider": provider}


class FileToken(AbstractTokenProvider):  # type: ignore[misc]
    """A token that something else keeps fresh in a file."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    async def token(self) -> str:
        return self._path.read_text().strip()


class GrantedToken(AbstractTokenProvider):  # type: ignore[misc]
    """A token of the client credentials grant (RFC 6749, 4.4), kept for most of its life."""

    def __init__(self, settings: KafkaSettings, clock: Callable[[], float] = monotonic_seconds) -> None:
        self._settings = settings
        self._clock = clock
        self._token = ""
        self._used_until = float("-inf")

    async def token(self) -> str:
        """Return the token; raises `OSError` where none is given, which clients take as a broker that is away."""
        if self._clock() >= self._used_until:
            self._token, life_seconds = await self._ask()
            self._used_until = self._clock() + _USED_SHARE * life_seconds
        return self._token

    async def _ask(self) -> tuple[str, float]:
        settings = self._settings
        form = {"grant_type": "client_credentials"}
        if settings.kafka_token_scope:
            form["scope"] = settings.kafka_token_scope
        login = (settings.kafka_username, settings.kafka_password.get_secret_value())
        try:
            async with httpx.AsyncClient(timeout=_TOKEN_SECONDS) as client:
                answer = await client.post(settings.kafka_token_url, data=form, auth=login)
                answer.raise_for_status()
                found = answer.json()
            return str(found["access_token"]), float(found.get("expires_in", _SHORTEST_LIFE_SECONDS))
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ConnectionError(f"no token from {settings.kafka_token_url}: {error!r}") from error
