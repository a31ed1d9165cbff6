"""Parts that all pages share, made once: settings, control plane, reads, templates."""

from collections.abc import Callable
from dataclasses import dataclass, field

from jinja2 import Environment
from starlette.requests import Request

from pipeline.control import ControlPlane, SnapshotSource
from pipeline.control.audit import AuditEntry
from pipeline.control.users import Users
from pipeline.runtime.client_address import TrustedProxies
from pipeline.runtime.settings import ConsoleSettings
from services.console.access.passwords import Passwords
from services.console.access.throttle import LoginThrottle
from services.console.ledger import Ledgers
from services.console.live_feed import LiveFeeds
from services.console.reading import QueryApi
from services.console.reporting import GatewayApi
from services.web.envelope import Language


@dataclass(frozen=True)
class Console:
    settings: ConsoleSettings
    snapshots: SnapshotSource
    api: QueryApi
    live: LiveFeeds
    ledgers: Ledgers
    gateway: GatewayApi
    users: Users
    proxies: TrustedProxies
    environment: Callable[[Language], Environment]
    passwords: Passwords = field(default_factory=Passwords)
    throttle: LoginThrottle = field(default_factory=LoginThrottle)

    @property
    def dsn(self) -> str:
        return self.settings.control_plane_dsn()

    @property
    def api_url(self) -> str:
        """Address of the API as senders reach it."""
        return self.settings.api_address()

    def store(self, entry: AuditEntry | None = None) -> ControlPlane:
        """Open the control plane for one change, which is logged."""
        return ControlPlane(self.dsn, entry)

    def users_with(self, entry: AuditEntry) -> Users:
        """Open the users for one change, which is logged."""
        return Users(self.dsn, entry)


def address_of(request: Request, console: Console) -> str:
    """Return the client's address, behind proxies that are trusted."""
    forwarded = request.headers.get("X-Forwarded-For", "").encode("latin-1", "replace")
    return console.proxies.client(request.client.host if request.client else "", forwarded)
