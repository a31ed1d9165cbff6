"""The link by which the first person sets the password of `admin`. It works once, for a day."""

import secrets

from pipeline.control.users import ADMIN_LOGIN, LINK_MS, Users
from pipeline.runtime.settings import Settings


def new_admin_link(settings: Settings, now_ms: int) -> str:
    """Make a link; empty if `admin` has a password. A link made before it is worth nothing any more."""
    users = Users(settings.control_plane_dsn())
    try:
        admin = users.by_login(ADMIN_LOGIN)
        if admin is None or admin.password_hash:
            return ""
        return new_link(users, ADMIN_LOGIN, settings.console_url, now_ms)
    finally:
        users.close()


def new_link(users: Users, login: str, console_url: str, now_ms: int) -> str:
    """Make a link that sets the password of a user. Raises `UnknownRecord`."""
    token = secrets.token_urlsafe(32)
    users.set_link(login, token, now_ms + LINK_MS)
    return f"{console_url.rstrip('/')}/setup/{token}"
