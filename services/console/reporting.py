"""The gateway, as the console reports to it: events validated, and refused ones sent again.

The key of an app is made when it is first needed. It is one like others: the control plane has its hash, and API
management lists it and can revoke it; then the next call makes another.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import httpx

from pipeline.control import AlreadyExists, ControlPlane, SnapshotNotLoaded
from pipeline.control.audit import AuditEntry
from pipeline.control.rules import format_secret
from pipeline.control.signing_key import SigningKeyReader
from pipeline.control.store import NewKey
from pipeline.runtime.clock import now_ms
from pipeline.runtime.log import get_logger
from pipeline.runtime.secret_box import SecretBoxError
from pipeline.runtime.settings import ConsoleSettings
from schemas.control import Scope, Snapshot
from services.console.reading import ReadFailed, answer_of, data_of, until_known
from services.web.console_key import REPORTING_KEY_PREFIX, reporting_key_bits, reporting_key_id
from services.web.envelope import Language

_TIMEOUT: Final = httpx.Timeout(30.0, connect=2.0)
_log = get_logger("console")


class GatewayApi:
    """The gateway at `settings.gateway_url`."""

    def __init__(self, settings: ConsoleSettings, snapshot: Callable[[], Snapshot]) -> None:
        self._settings = settings
        self._snapshot = snapshot
        self._signing_keys = SigningKeyReader(settings)
        url = settings.gateway_url or settings.api_address()
        self._client = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, trust_env=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def post(self, app_id: str, language: Language, path: str, body: bytes, made: AuditEntry) -> Any:
        """Return `data` of the answer to a JSON text. `made`: the entry for the log of changes if a key is made. Raises
        `ReadFailed`."""

        async def call() -> httpx.Response:
            secret = await asyncio.to_thread(self._secret, app_id, made)
            headers = {"Authorization": f"Bearer {secret}", "Accept-Language": language}
            headers["Content-Type"] = "application/json"
            return await answer_of(self._client, "gateway", "POST", path, content=body, headers=headers)

        return data_of(await until_known(call, "gateway", self._settings))

    def _secret(self, app_id: str, made: AuditEntry) -> str:
        """Return the key of the app, and see that the control plane knows it. A revoked one has a successor."""
        known = ControlPlane(self._settings.control_plane_dsn()).keys(app_id)
        own = [key for key in known if key.key_id.startswith(REPORTING_KEY_PREFIX)]
        key_id = reporting_key_id(app_id, sum(key.revoked_at_ms is not None for key in own))
        secret = format_secret(reporting_key_bits(self._signing_key(), key_id), is_test=False)
        if all(key.key_id != key_id for key in own):
            with suppress(AlreadyExists):  # another replica was quicker
                store = ControlPlane(self._settings.control_plane_dsn(), made)
                store.add_key(NewKey(key_id, secret), app_id, [Scope.WRITE], now_ms())
        return secret

    def _signing_key(self) -> bytes:
        with suppress(SnapshotNotLoaded, SecretBoxError):
            if key := self._signing_keys.key_of(self._snapshot()):
                return key  # without one, anybody could work out what follows from it
        _log.error("signing_key_unreadable", error="it is missing, or encrypted with another key")
        raise ReadFailed(503, "SERVER_ERROR", "")
