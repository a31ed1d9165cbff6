"""A console over a control plane of its own: two apps, an admin, and a user of one of them."""

import re
from dataclasses import dataclass
from typing import Any

import httpx
from app_servers import AppServers
from argon2 import PasswordHasher

from pipeline.control import ControlPlane, prepare_control_plane
from pipeline.control.users import ADMIN_LOGIN, Role, User, Users
from pipeline.runtime.settings import Settings
from schemas.control import App
from services.console.app import create_app

PASSWORD = "Correct-Horse-9"
PASSWORD_HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
OWN_APP, FOREIGN_APP = "own", "foreign"
ADMIN, USER = ADMIN_LOGIN, "mia"
NOW_MS = 1_800_000_000_000
_TOKEN = re.compile(r'name="token" value="([0-9a-f]+)"')


@dataclass
class ConsoleWorld:
    settings: Settings
    app: Any
    url: str
    servers: AppServers

    @property
    def users(self) -> Users:
        return Users(self.settings.control_plane_dsn())

    @property
    def store(self) -> ControlPlane:
        return ControlPlane(self.settings.control_plane_dsn())

    def visitor(self, login: str = "") -> "Visitor":
        """A browser; logged in, if a login is given."""
        visitor = Visitor(self.url)
        if login:
            visitor.log_in(login)
        return visitor


class Visitor:
    """A browser that follows no redirect by itself."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, trust_env=False, timeout=30.0)
        self.client.headers["Accept-Language"] = "en"
        self.client.headers["Sec-Fetch-Site"] = "same-origin"

    @property
    def session(self) -> str:
        return str(self.client.cookies.get("attrikit_session", ""))

    def log_in(self, login: str) -> None:
        answer = self.send("/login", login=login, password=PASSWORD, next="/apps")
        assert answer.status_code == 303, answer.text

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers)

    def token(self, path: str = "/profile") -> str:
        """The token of the forms of a page."""
        found = _TOKEN.search(self.get(path).text)
        assert found is not None, path
        return found[1]

    def send(self, path: str, /, **fields: Any) -> Any:
        return self.client.post(path, data=fields)

    def submit(self, path: str, /, **fields: Any) -> Any:
        """Send a form with a token, as a page of ours does."""
        return self.send(path, token=self.token(), **fields)


def make_console(settings: Settings, servers: AppServers) -> ConsoleWorld:
    prepare_people(settings, App(OWN_APP, OWN_APP.title()), App(FOREIGN_APP, FOREIGN_APP.title()))
    app = create_app(settings)
    return ConsoleWorld(settings, app, servers.serve(app), servers)


def prepare_people(settings: Settings, own: App, *others: App) -> ControlPlane:
    """Prepare the control plane of a console: an admin, and a user of the first of these apps."""
    prepare_control_plane(settings)
    store = ControlPlane(settings.control_plane_dsn())
    for app in (own, *others):
        store.create_app(app, NOW_MS)
    users = Users(settings.control_plane_dsn())
    users.set_password("usr_admin", PASSWORD_HASH)
    users.add(User("usr_mia", USER, Role.USER, app_ids=frozenset({own.app_id}), password_hash=PASSWORD_HASH), NOW_MS)
    return store
