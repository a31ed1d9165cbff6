"""Reads over the query service's API, with a signed key for the app a page is about."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Final, TypeVar

import httpx
import msgspec

from pipeline.control import SnapshotNotLoaded
from pipeline.control.signing_key import SigningKeyReader
from pipeline.runtime.clock import now_ms
from pipeline.runtime.log import get_logger
from pipeline.runtime.retry import SHORT, retry
from pipeline.runtime.secret_box import SecretBoxError
from pipeline.runtime.settings import ConsoleSettings
from schemas.control import Snapshot
from services.web.console_key import LIFE_MS, make_console_key
from services.web.envelope import Language

_TIMEOUT: Final = httpx.Timeout(30.0, connect=2.0)
_KNOWN_AFTER: Final = 2
"""Refreshes of the control plane after which a process must know of a change."""
_MARGIN_MS: Final = 5_000
"""A key is signed for a little less than it may hold, so that clocks may differ a little."""
_log = get_logger("console")
Parameters = Mapping[str, Any]
_ANSWER: Final = msgspec.json.Decoder(float_hook=Decimal)
T = TypeVar("T")


class ReadFailed(Exception):
    """Error of a call. `code` is one of the API's; `message` and `reason` are in the reader's language."""

    def __init__(self, status: int, code: str, message: str, reason: str = "") -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.message = message
        self.reason = reason


class Unknown(ReadFailed):
    """The service does not know the app or the key, which may have been made a moment ago."""


class AddressTooLong(ReadFailed):
    """Error: the address of the request to a service would be too long; the visitor asked for a very long text."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, "INVALID_PARAMETER", "")


class QueryApi:
    """The query service at `settings.query_url`."""

    def __init__(self, settings: ConsoleSettings, snapshot: Callable[[], Snapshot]) -> None:
        self._settings = settings
        self._snapshot = snapshot
        self._signing_keys = SigningKeyReader(settings)
        self._client = httpx.AsyncClient(base_url=settings.query_url, timeout=_TIMEOUT, trust_env=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, app_id: str, language: Language, path: str, parameters: Parameters | None = None) -> Any:
        """Return `data` of a read. Raises `ReadFailed`."""
        return await self._call("GET", app_id, language, path, params=_given(parameters or {}))

    async def send(self, method: str, app_id: str, language: Language, path: str, body: Any = None) -> Any:
        """Return `data` of another call (an export). Raises `ReadFailed`."""
        return await self._call(method, app_id, language, path, json=body)

    async def operator(self, path: str) -> Any:
        """Return `data` of an operators' read. Raises `ReadFailed`."""
        headers = {"Authorization": f"Bearer {self._settings.operator_token.get_secret_value()}"}
        return data_of(await answer_of(self._client, "query", "GET", path, headers=headers))

    async def is_there(self) -> bool:
        try:
            return (await self._client.get("/readyz", timeout=2.0)).status_code == 200
        except httpx.HTTPError:
            return False

    async def _call(self, method: str, app_id: str, language: Language, path: str, **given: Any) -> Any:
        async def call() -> httpx.Response:
            headers = {"Authorization": f"Bearer {self._key(app_id)}", "Accept-Language": language}
            return await answer_of(self._client, "query", method, path, headers=headers, **given)

        return data_of(await until_known(call, "query", self._settings))

    def _key(self, app_id: str) -> str:
        try:
            signing_key = self._signing_keys.key_of(self._snapshot())
        except (SnapshotNotLoaded, SecretBoxError) as error:
            _log.error("signing_key_unreadable", error=str(error))
            raise ReadFailed(503, "SERVER_ERROR", "") from None
        return make_console_key(signing_key, app_id, now_ms() + LIFE_MS - _MARGIN_MS)


async def until_known(
    call: Callable[[], Awaitable[httpx.Response]], service: str, settings: ConsoleSettings
) -> httpx.Response:
    """Call until the service knows the app and the key, or must have read the control plane."""

    async def known() -> httpx.Response:
        answer = await call()
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise Unknown(HTTPStatus.UNAUTHORIZED, "INVALID_API_KEY", "")
        return answer

    seconds = known_after_seconds(settings)
    return await retry(known, (Unknown,), _log, "caller_unknown", pauses=SHORT, seconds=seconds, service=service)


def known_after_seconds(settings: ConsoleSettings) -> float:
    """Return how long after a change every process has read the control plane."""
    return _KNOWN_AFTER * settings.control_plane_refresh_seconds


async def answer_of(client: httpx.AsyncClient, service: str, method: str, path: str, **given: Any) -> httpx.Response:
    """Return the answer of a service. Raises `ReadFailed` if there is none."""
    try:
        return await client.request(method, path, **given)
    except httpx.InvalidURL:
        raise AddressTooLong from None
    except httpx.HTTPError as error:
        _log.warning("service_away", service=service, error=f"{type(error).__name__}: {error}")
        raise ReadFailed(503, "SERVER_ERROR", "") from None


async def in_a_moment(reading: Awaitable[T], seconds: float = 3.0) -> T | None:
    """Return the result of a read that a page can do without; None: it failed, or took longer."""
    try:
        async with asyncio.timeout(seconds):
            return await reading
    except (ReadFailed, TimeoutError) as error:
        _log.warning("read_given_up", error=str(error) or type(error).__name__)
        return None


def _given(parameters: Parameters) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value not in (None, "", [], ())}


def data_of(response: httpx.Response) -> Any:
    """Return `data` of an answer in the API's envelope. Raises `ReadFailed`."""
    try:
        body = _ANSWER.decode(response.content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ReadFailed(502, "SERVER_ERROR", "")
    if not body.get("success"):
        error = body.get("error", {})
        reason = error.get("details", {}).get("reason", "")
        raise ReadFailed(response.status_code, error.get("code", ""), error.get("message", ""), reason)
    return body["data"]
