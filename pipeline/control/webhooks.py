"""Endpoints of webhooks in the control plane. Secrets come in and go out encrypted; nothing here can read them."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Float,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from pipeline.control.apps import app_row
from pipeline.control.audit import AuditEntry, open_writer
from pipeline.control.errors import InvalidRecord, UnknownRecord, message, require
from pipeline.control.records import record_of, values_of
from pipeline.control.tables import METADATA
from schemas.control import WebhookEndpoint
from schemas.webhooks import EndpointState

MAX_ENDPOINTS: Final = 50
"""Maximum number of endpoints of an app."""
MAX_CONCURRENCY: Final = 100
_CHANGEABLE: Final = ("url", "description", "event_types", "max_concurrency", "max_per_second")

WEBHOOK_ENDPOINTS: Final = Table(
    "webhook_endpoints",
    METADATA,
    Column("endpoint_id", String(40), primary_key=True),
    Column("app_id", String(64), ForeignKey("apps.app_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("url", String(2048), nullable=False),
    Column("description", String(200), nullable=False),
    Column("event_types", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("state_reason", String(200), nullable=False, server_default=""),
    Column("secret", Text, nullable=False),
    Column("previous_secret", Text, nullable=False, server_default=""),
    Column("previous_valid_until_ms", BigInteger, nullable=False, server_default="0"),
    Column("max_concurrency", Integer, nullable=False),
    Column("max_per_second", Float, nullable=False),
    Column("failing_since_ms", BigInteger, nullable=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False),
)


@dataclass(frozen=True)
class StateChange:
    """Change of an endpoint's state that a dispatcher has found out."""

    endpoint_id: str
    failing_since_ms: int | None
    disabled_because: str = ""
    """Reason if it is disabled by this; else empty."""


class WebhookEndpoints:
    """Reads and writes endpoints in the database at `dsn` (a SQLAlchemy URL). Blocking; one transaction a method."""

    def __init__(self, dsn: str, audit: AuditEntry | None = None) -> None:
        self._writer = open_writer(dsn, audit, creates=False)

    def close(self) -> None:
        self._writer.dispose()

    def add(self, endpoint: WebhookEndpoint, now_ms: int) -> None:
        _check(endpoint)
        with self._writer.begin() as connection:
            app_row(connection, endpoint.app_id)
            if _count(connection, endpoint.app_id) >= MAX_ENDPOINTS:
                raise InvalidRecord(
                    "app %(app)r has %(most)s endpoints already, the most there can be",
                    app=endpoint.app_id,
                    most=MAX_ENDPOINTS,
                )
            connection.execute(insert(WEBHOOK_ENDPOINTS).values(values_of(endpoint) | {"changed_at_ms": now_ms}))

    def endpoints(self, app_id: str | None = None) -> list[WebhookEndpoint]:
        with self._writer.begin() as connection:
            return _read(connection, app_id)

    def find(self, endpoint_id: str) -> WebhookEndpoint:
        with self._writer.begin() as connection:
            return _find(connection, endpoint_id)

    def set_state(self, endpoint_id: str, state: EndpointState, now_ms: int) -> WebhookEndpoint:
        """Set the state by a person's wish: pausing, or resuming, which forgets how long it has been failing."""
        values = {"state": state.value, "state_reason": "", "failing_since_ms": None, "changed_at_ms": now_ms}
        return self._update(endpoint_id, values)

    def change(self, endpoint: WebhookEndpoint, now_ms: int) -> WebhookEndpoint:
        """Replace what a person says of an endpoint: URL, event types, description and limits. Its secrets, its state
        and the time it was made stay; another URL has not been failing."""
        _check(endpoint)
        with self._writer.begin() as connection:
            known = _find(connection, endpoint.endpoint_id)
            kept = {name: value for name, value in values_of(endpoint).items() if name in _CHANGEABLE}
            failing = known.failing_since_ms if endpoint.url == known.url else None
            values = kept | {"failing_since_ms": failing, "changed_at_ms": now_ms}
            connection.execute(update(WEBHOOK_ENDPOINTS).where(_is(endpoint.endpoint_id)).values(values))
            return _find(connection, endpoint.endpoint_id)

    def rotate(self, endpoint_id: str, secret: str, valid_until_ms: int, now_ms: int) -> WebhookEndpoint:
        """`secret` (encrypted) becomes the newest; the one before it stays valid until `valid_until_ms`."""
        with self._writer.begin() as connection:
            known = _find(connection, endpoint_id)
            values = {
                "secret": secret,
                "previous_secret": known.secret,
                "previous_valid_until_ms": valid_until_ms,
                "changed_at_ms": now_ms,
            }
            connection.execute(update(WEBHOOK_ENDPOINTS).where(_is(endpoint_id)).values(values))
            return _find(connection, endpoint_id)

    def remove(self, endpoint_id: str) -> None:
        with self._writer.begin() as connection:
            _find(connection, endpoint_id)
            connection.execute(delete(WEBHOOK_ENDPOINTS).where(_is(endpoint_id)))

    def record(self, change: StateChange, now_ms: int) -> None:
        """Record the changes a dispatcher found out. An endpoint that was removed, paused or changed meanwhile stays as
        it is.
        """
        values: dict[str, Any] = {"failing_since_ms": change.failing_since_ms, "changed_at_ms": now_ms}
        if change.disabled_because:
            values |= {"state": EndpointState.DISABLED.value, "state_reason": change.disabled_because[:200]}
        is_it = _is(change.endpoint_id) & (WEBHOOK_ENDPOINTS.c.state == EndpointState.ACTIVE.value)
        with self._writer.begin() as connection:
            connection.execute(update(WEBHOOK_ENDPOINTS).where(is_it).values(values))

    def _update(self, endpoint_id: str, values: dict[str, Any]) -> WebhookEndpoint:
        with self._writer.begin() as connection:
            _find(connection, endpoint_id)
            connection.execute(update(WEBHOOK_ENDPOINTS).where(_is(endpoint_id)).values(values))
            return _find(connection, endpoint_id)


def load_webhooks(connection: Connection) -> dict[str, tuple[WebhookEndpoint, ...]]:
    """App id → its endpoints, for a snapshot."""
    found: dict[str, tuple[WebhookEndpoint, ...]] = {}
    for endpoint in _read(connection, None):
        found[endpoint.app_id] = (*found.get(endpoint.app_id, ()), endpoint)
    return found


def _read(connection: Connection, app_id: str | None) -> list[WebhookEndpoint]:
    query = select(WEBHOOK_ENDPOINTS).order_by(WEBHOOK_ENDPOINTS.c.created_at_ms, WEBHOOK_ENDPOINTS.c.endpoint_id)
    if app_id is not None:
        query = query.where(WEBHOOK_ENDPOINTS.c.app_id == app_id)
    return [record_of(WebhookEndpoint, row) for row in connection.execute(query).mappings()]


def _find(connection: Connection, endpoint_id: str) -> WebhookEndpoint:
    row = connection.execute(select(WEBHOOK_ENDPOINTS).where(_is(endpoint_id))).mappings().one_or_none()
    if row is None:
        raise UnknownRecord("there is no webhook endpoint %(id)r", id=endpoint_id)
    return record_of(WebhookEndpoint, row)


def _is(endpoint_id: str) -> ColumnElement[bool]:
    return WEBHOOK_ENDPOINTS.c.endpoint_id == endpoint_id


def _count(connection: Connection, app_id: str) -> int:
    query = select(func.count()).select_from(WEBHOOK_ENDPOINTS).where(WEBHOOK_ENDPOINTS.c.app_id == app_id)
    return int(connection.execute(query).scalar_one())


def _check(endpoint: WebhookEndpoint) -> None:
    if not endpoint.event_types:
        raise InvalidRecord("an endpoint needs at least one event type")
    if len(endpoint.description) > 200:
        raise InvalidRecord("a description has at most 200 characters")
    calls, rate = endpoint.max_concurrency, endpoint.max_per_second
    require(1 <= calls <= MAX_CONCURRENCY, "concurrency", calls, message("1 to %(most)s", most=MAX_CONCURRENCY))
    require(0 <= rate <= 100_000, "rate", rate, "0 (no limit) to 100000 a second")
