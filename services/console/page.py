"""A page being answered: the person, their language, the app, and what templates need of them."""

import secrets
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from pipeline.control import ControlPlaneError
from pipeline.control.audit import AuditEntry
from pipeline.control.errors import Message
from pipeline.control.users import User
from pipeline.runtime.clock import now_ms
from schemas.control import App
from services.console.access.cookies import session_of
from services.console.access.forms import make_token
from services.console.i18n.catalogue import LANGUAGES, translations_of
from services.console.i18n.formats import Formats
from services.console.navigation import ADMIN_GROUP, ADMIN_MENU, APP_MENU, Entry
from services.console.reading import Parameters
from services.console.state import Console, address_of
from services.web.envelope import Language, encode_json, language_of
from services.web.event_reasons import stored_reason
from services.webhook_calls.call_errors import error_in

LANGUAGE_COOKIE: Final = "attrikit_language"
THEME_COOKIE: Final = "attrikit_theme"
THEMES: Final = ("system", "light", "dark")
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Page:
    """What a page knows of its reader. `user`: None before the login; `app`: None outside of an app."""

    request: Request
    console: Console
    user: User | None = None
    app: App | None = None

    @property
    def language(self) -> Language:
        chosen = self.request.cookies.get(LANGUAGE_COOKIE)
        if chosen in LANGUAGES:
            return chosen
        return language_of(self.request.headers.get("Accept-Language", "").encode("latin-1", "replace"))

    @property
    def theme(self) -> str:
        chosen = self.request.cookies.get(THEME_COOKIE, "")
        return chosen if chosen in THEMES else THEMES[0]

    @property
    def app_id(self) -> str:
        """Id of the app the page is about."""
        assert self.app is not None
        return self.app.app_id

    @property
    def formats(self) -> Formats:
        return Formats(self.language, self.app.timezone if self.app else "UTC")

    @property
    def apps(self) -> list[App]:
        """Apps the reader may see, by name."""
        if self.user is None:
            return []
        known = self.console.snapshots.current().apps.values()
        return sorted((app for app in known if self.user.may_see(app.app_id)), key=lambda app: app.name.lower())

    def text(self, message: str, **values: object) -> str:
        """Translate a text of the catalogue."""
        translated = translations_of(self.language).gettext(message)
        return translated % values if values else translated

    def told(self, told: ControlPlaneError | Message) -> str:
        """Return a message, or that of an error, in the reader's language."""
        message = told if isinstance(told, Message) else told.message
        values = {name: self.told(one) if isinstance(one, Message) else one for name, one in message.values.items()}
        return self.text(message.template, **values)

    def refusal(self, code: str, reason: str) -> str:
        """Return the stored reason of a refused event in the reader's language."""
        return stored_reason(code, reason).in_language(self.language)

    def call_error(self, stored: str) -> str:
        """Return the stored error of a call, or of an endpoint, in the reader's language."""
        return self.told(error_in(stored))

    def url(self, path: str) -> str:
        """Return the path of a page of the app."""
        return f"/apps/{self.app_id}/{path}"

    @property
    def place(self) -> str:
        """Path of this page below its app: where a switch of the app leads."""
        below = self.request.url.path.split("/", 3)[3:] if self.app else []
        return next((entry.path for _, entries in APP_MENU for entry in entries if [entry.path] == below), "overview")

    @property
    def menu(self) -> list[tuple[str, list[Entry]]]:
        """Groups of entries for the side bar, of what the reader may see."""
        is_admin = bool(self.user and self.user.is_admin)
        if self.app is None:
            return [(ADMIN_GROUP, list(ADMIN_MENU))] if is_admin else []
        return [
            (group, [entry for entry in entries if is_admin or not entry.for_admins]) for group, entries in APP_MENU
        ]

    @property
    def admin_menu(self) -> tuple[Entry, ...]:
        return ADMIN_MENU

    def is_at(self, path: str) -> bool:
        """Tell whether this page is that one, or below it."""
        full = self.url(path) if self.app else path
        return self.request.url.path == full or self.request.url.path.startswith(full + "/")

    def here(self, **changes: object) -> str:
        """Return this page's own address with other parameters; None takes one away."""
        given = [(name, value) for name, value in self.request.query_params.multi_items() if name not in changes]
        given += [(name, str(value)) for name, value in changes.items() if value is not None and value != ""]
        return self.request.url.path + ("?" + urlencode(given) if given else "")

    async def read(self, path: str, parameters: Parameters | None = None) -> Any:
        """Return `data` of the API's answer about the app. Raises `ReadFailed`."""
        return await self.console.api.get(self.app_id, self.language, path, parameters)

    async def report(self, path: str, body: bytes) -> Any:
        """Return `data` of the gateway's answer to a JSON text that is sent for the app. Raises `ReadFailed`."""
        made = self.entry("key.create", self.app_id, after={"scopes": ["write"], "for": "the console"})
        return await self.console.gateway.post(self.app_id, self.language, path, body, made)

    def json(self, value: Any) -> str:
        """Format a value of an answer as JSON to be read."""
        return msgspec.json.format(encode_json(value), indent=2).decode()

    def entry(
        self, action: str, target: str, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None
    ) -> AuditEntry:
        """Make the entry of a change for the log."""
        login = self.user.login if self.user else ""
        app_id = self.app.app_id if self.app else ""
        address = address_of(self.request, self.console)
        return AuditEntry(now_ms(), login, address, action, target, app_id, before, after)

    def render(self, template: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self.markup(template, **values), status, headers=SECURITY_HEADERS)

    def markup(self, template: str, **values: Any) -> str:
        """Return the text of a template, or of a part of a page."""
        environment = self.console.environment(self.language)
        return environment.get_template(template).render(self._common() | values)

    def _common(self) -> dict[str, Any]:
        return {
            "page": self,
            "app": self.app,
            "user": self.user,
            "format": self.formats,
            "languages": LANGUAGES,
            "themes": THEMES,
            "token": make_token(session_of(self.request)),
        }


def go(path: str) -> Response:
    """Answer a form by leading to a page: reloading it sends nothing twice."""
    return RedirectResponse(path, 303, headers=SECURITY_HEADERS)


def new_environment(folder: str, language: Language, static: dict[str, str]) -> Environment:
    """Make the templates' environment: everything is escaped, and a name that is missing is an error."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(translations_of(language), newstyle=True)  # type: ignore[attr-defined]
    environment.globals["static"] = lambda name: static[name]
    environment.filters["svg"] = Markup
    return environment


def new_token() -> str:
    """Make a token of 256 random bits, for a session or a link."""
    return secrets.token_urlsafe(32)
