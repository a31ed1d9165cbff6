"""Endpoint health: how long endpoints have been failing. Those that fail for too long are disabled.

Known in memory, written to the control plane when it changes (the first failure after a success, the first success
after a failure, being disabled), so that it outlives this process. Writing happens in the background and is repeated
until it succeeds; an endpoint belongs to one process (that of its partition), so nobody else writes the same.

An endpoint that is disabled raises an alert: a row in the topic `alerts`, so that it is listed with the others and sent
as `threshold.alert` to whichever other endpoint of the app wants alerts; and a line in the log, and a metric.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from pipeline.control.webhooks import StateChange
from pipeline.runtime.clock import now_ms
from pipeline.runtime.log import get_logger
from pipeline.runtime.retry import Pauses, retry
from schemas.control import WebhookEndpoint
from schemas.facts import AlertRow, AlertState
from schemas.ids import alert_id
from services.webhook_calls.call_errors import NO_SUCCESS
from services.webhooks.metrics import DISABLED

_PAUSES: Final = Pauses(1.0, 1.0)
_HOUR_MS: Final = 3_600_000
log = get_logger("webhooks")


class NotWritten(Exception):
    """Error: a change could not be written; the next `flush` writes it."""


class EndpointHealth:
    """`write` is blocking and runs in a thread; `alert` returns when the row is acknowledged."""

    def __init__(
        self,
        write: Callable[[StateChange], None],
        alert: Callable[[AlertRow], Awaitable[None]],
        disable_after_ms: int,
    ) -> None:
        self._write = write
        self._alert = alert
        self._disable_after_ms = disable_after_ms
        self._failing_since_ms: dict[str, int | None] = {}
        self._changes: dict[str, StateChange] = {}
        self._written_at_ms: dict[str, int] = {}
        self._alerts: deque[AlertRow] = deque()
        self._changed = asyncio.Event()

    def forget(self, endpoint_id: str) -> None:
        """Forget an endpoint that was resumed, say: its state in the control plane counts again."""
        self._failing_since_ms.pop(endpoint_id, None)

    def is_known_at(self, endpoint_id: str, time_ms: int) -> bool:
        """Tell whether the control plane as of that time (or later) has all that is noted here."""
        return endpoint_id not in self._changes and self._written_at_ms.get(endpoint_id, 0) < time_ms

    def succeeded(self, endpoint: WebhookEndpoint) -> None:
        if self._since(endpoint) is not None:
            self._note(endpoint.endpoint_id, None)

    def failed(self, endpoint: WebhookEndpoint, at_ms: int) -> bool:
        """Note a failure; tell whether it disables the endpoint, which has failed for too long."""
        since_ms = self._since(endpoint)
        if since_ms is None:
            self._note(endpoint.endpoint_id, at_ms)
            return False
        if at_ms - since_ms < self._disable_after_ms:
            return False
        hours = (at_ms - since_ms) // _HOUR_MS
        self.disable(endpoint, str(NO_SUCCESS.filled(hours=hours)), at_ms, "failing")
        return True

    def disable(self, endpoint: WebhookEndpoint, because: str, at_ms: int, label: str) -> None:
        since_ms = self._since(endpoint) or at_ms
        DISABLED.labels(label).inc()
        log.error("endpoint_disabled", endpoint=endpoint.endpoint_id, app=endpoint.app_id, reason=because)
        self._alerts.append(_alert_row(endpoint, since_ms, at_ms, self._disable_after_ms))
        self._note(endpoint.endpoint_id, since_ms, because)

    async def run(self) -> None:
        """Write changes, forever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await retry(self.flush, (NotWritten,), log, "endpoint_health_not_written", pauses=_PAUSES)

    async def flush(self) -> None:
        """Write the changes; raise `NotWritten` if one of them cannot be. An alert waits until it is acknowledged, and
        goes before the state that says "disabled": a process that ends in between raises it again, with the same id.
        """
        while self._alerts:
            row = self._alerts[0]
            await self._alert(row)
            if self._alerts and self._alerts[0] is row:
                self._alerts.popleft()
        for endpoint_id, change in list(self._changes.items()):
            try:
                await asyncio.to_thread(self._write, change)
            except Exception as error:
                # The class only: a driver's message may quote the connection's credentials.
                raise NotWritten(type(error).__name__) from None
            if self._changes.get(endpoint_id) is change:
                del self._changes[endpoint_id]
                self._written_at_ms[endpoint_id] = now_ms()

    def _since(self, endpoint: WebhookEndpoint) -> int | None:
        return self._failing_since_ms.setdefault(endpoint.endpoint_id, endpoint.failing_since_ms)

    def _note(self, endpoint_id: str, since_ms: int | None, disabled_because: str = "") -> None:
        self._failing_since_ms[endpoint_id] = since_ms
        self._changes[endpoint_id] = StateChange(endpoint_id, since_ms, disabled_because)
        self._changed.set()


def _alert_row(endpoint: WebhookEndpoint, since_ms: int, at_ms: int, limit_ms: int) -> AlertRow:
    rule = f"webhook:{endpoint.endpoint_id}"
    return AlertRow(
        app_id=endpoint.app_id,
        alert_id=alert_id(endpoint.app_id, rule, AlertState.BEGAN.value, since_ms),
        rule_id=rule,
        rule_name=f"webhook endpoint disabled: {endpoint.description or endpoint.endpoint_id}",
        metric="webhook_failing",
        subject=endpoint.endpoint_id,
        comparison="above",
        threshold=limit_ms / _HOUR_MS,
        value=(at_ms - since_ms) / _HOUR_MS,
        average=None,
        unit="h",
        state=AlertState.BEGAN.value,
        window_start_ms=since_ms,
        window_end_ms=at_ms,
        began_at_ms=at_ms,
        fired_at_ms=at_ms,
    )
