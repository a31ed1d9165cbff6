"""The endpoints of the newest snapshot, and those that this process has disabled since it was taken."""

from collections.abc import Callable

from schemas.control import Snapshot, WebhookEndpoint
from schemas.webhooks import EndpointState
from services.webhook_calls import call_errors
from services.webhook_calls.sender import Reply
from services.webhooks.attempt_outcome import GONE
from services.webhooks.endpoint_health import EndpointHealth


class Endpoints:
    """Endpoints by id. `snapshot`: returns the newest one."""

    def __init__(self, snapshot: Callable[[], Snapshot], health: EndpointHealth) -> None:
        self._snapshot = snapshot
        self._health = health
        self._seen_snapshot: Snapshot | None = None
        self._endpoints: dict[str, WebhookEndpoint] = {}
        self._disabled_here: dict[str, str] = {}
        """Endpoints that the snapshot still shows as active → why they are disabled."""

    def get(self, endpoint_id: str) -> WebhookEndpoint | None:
        """Return the endpoint; None: it was removed."""
        return self._endpoints.get(endpoint_id)

    def refresh(self) -> bool:
        """Follow the newest snapshot; False if it is the known one."""
        snapshot = self._snapshot()
        if snapshot is self._seen_snapshot:
            return False
        before, self._seen_snapshot = self._endpoints, snapshot
        self._endpoints = {e.endpoint_id: e for endpoints in snapshot.webhooks.values() for e in endpoints}
        for endpoint_id, endpoint in self._endpoints.items():
            self._follow_state(before.get(endpoint_id), endpoint, snapshot.taken_at_ms)
        return True

    def why_not_active(self, endpoint: WebhookEndpoint) -> str:
        """Return why an endpoint is not active; empty if it is."""
        if endpoint.state is EndpointState.PAUSED:
            return str(call_errors.PAUSED)
        if endpoint.state is EndpointState.DISABLED:
            return str(call_errors.DISABLED.filled(because=endpoint.state_reason))
        because = self._disabled_here.get(endpoint.endpoint_id)
        return str(call_errors.DISABLED.filled(because=because)) if because else ""

    def note_reply(self, endpoint: WebhookEndpoint, reply: Reply, now_ms: int) -> None:
        """Note how an attempt ended; it may disable the endpoint."""
        if endpoint.endpoint_id in self._disabled_here:
            return  # decided already, by a call beside this one
        if reply.is_success:
            self._health.succeeded(endpoint)
        elif reply.status == GONE:
            self._disabled_here[endpoint.endpoint_id] = str(call_errors.GONE)
            self._health.disable(endpoint, self._disabled_here[endpoint.endpoint_id], now_ms, "gone")
        elif self._health.failed(endpoint, now_ms):
            self._disabled_here[endpoint.endpoint_id] = str(call_errors.FAILING)

    def _follow_state(self, before: WebhookEndpoint | None, endpoint: WebhookEndpoint, taken_at_ms: int) -> None:
        was_off = before is not None and before.state is not EndpointState.ACTIVE
        if endpoint.endpoint_id in self._disabled_here and self._health.is_known_at(endpoint.endpoint_id, taken_at_ms):
            del self._disabled_here[endpoint.endpoint_id]
            was_off = True
        if was_off and endpoint.state is EndpointState.ACTIVE:
            self._health.forget(endpoint.endpoint_id)
