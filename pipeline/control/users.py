"""Users of the console, the apps they were given, and their sessions. Passwords come hashed; tokens are kept hashed."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from pipeline.control.audit import AuditEntry, open_writer
from pipeline.control.engine import build_engine
from pipeline.control.errors import AlreadyExists, InvalidRecord, UnknownRecord, require
from pipeline.control.user_tables import CONSOLE_SESSIONS, USER_APPS, USERS

IDLE_MS: Final = 12 * 3_600_000
LIFE_MS: Final = 7 * 86_400_000
LINK_MS: Final = 24 * 3_600_000
_SEEN_EVERY_MS: Final = 60_000
"""A session's last use is written at most this often."""
_LOGIN: Final = re.compile(r"^[a-z0-9][a-z0-9._@+-]{0,63}\Z")
ADMIN_LOGIN: Final = "admin"


class Role(StrEnum):
    ADMIN = "admin"
    """May do everything."""
    USER = "user"
    """Works on the apps given to them, and manages neither users nor apps."""


@dataclass(frozen=True)
class User:
    user_id: str
    login: str
    role: Role
    display_name: str = ""
    app_ids: frozenset[str] = frozenset()
    """Apps given to a user; an admin has all."""
    is_active: bool = True
    password_hash: str = field(default="", repr=False)
    """Empty: no password yet; a one-time link sets the first one."""
    totp_secret: str = field(default="", repr=False)
    """Encrypted (`pipeline.runtime.secret_box`); empty: no second factor."""
    created_at_ms: int = 0

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    def may_see(self, app_id: str) -> bool:
        return self.is_admin or app_id in self.app_ids


@dataclass(frozen=True)
class Session:
    """A session as its owner sees it."""

    session_sha256: str
    created_at_ms: int
    seen_at_ms: int
    address: str
    user_agent: str


def token_hash(token: str) -> str:
    """Return the form in which tokens of sessions and links are kept. They have 256 random bits."""
    return sha256(token.encode()).hexdigest()


class Users:
    """Users in the database at `dsn` (a SQLAlchemy URL). Blocking; one transaction a method.

    `audit`: an entry that each write adds to the log of changes.
    """

    def __init__(self, dsn: str, audit: AuditEntry | None = None) -> None:
        self._writer = open_writer(dsn, audit, creates=False)
        self._reader = build_engine(dsn, writes=False)

    def close(self) -> None:
        self._writer.dispose()
        self._reader.dispose()

    def users(self) -> list[User]:
        """List the users, by login."""
        with self._reader.begin() as connection:
            return _load(connection)

    def by_login(self, login: str) -> User | None:
        with self._reader.begin() as connection:
            return next(iter(_load(connection, USERS.c.login == login)), None)

    def by_id(self, user_id: str) -> User:
        """Return a user. Raises `UnknownRecord`."""
        with self._reader.begin() as connection:
            return _user(connection, user_id)

    def add(self, user: User, now_ms: int) -> None:
        """Store a new user."""
        check_user(user)
        values = _values(user) | {"user_id": user.user_id, "login": user.login, "created_at_ms": now_ms}
        with self._writer.begin() as connection:
            try:
                connection.execute(insert(USERS).values(values | {"password_hash": user.password_hash}))
            except IntegrityError as error:
                raise AlreadyExists("user %(login)r exists already", login=user.login) from error
            _give_apps(connection, user)

    def update(self, user: User) -> None:
        """Replace name, role, apps and state. A change of role or state ends the user's sessions; the last admin who
        is active stays one."""
        check_user(user)
        with self._writer.begin() as connection:
            known = _user(connection, user.user_id)
            connection.execute(update(USERS).where(USERS.c.user_id == user.user_id).values(_values(user)))
            if not any(one.is_admin and one.is_active for one in _load(connection)):
                raise InvalidRecord("there must be one active admin")
            _give_apps(connection, user)
            if (known.role, known.is_active) != (user.role, user.is_active):
                connection.execute(delete(CONSOLE_SESSIONS).where(CONSOLE_SESSIONS.c.user_id == user.user_id))

    def remove(self, user_id: str) -> None:
        with self._writer.begin() as connection:
            _user(connection, user_id)
            connection.execute(delete(USERS).where(USERS.c.user_id == user_id))
            if not any(one.is_admin and one.is_active for one in _load(connection)):
                raise InvalidRecord("there must be one active admin")

    def set_password(self, user_id: str, password_hash: str) -> None:
        """Set the password; ends every session of the user, and a link to set one."""
        with self._writer.begin() as connection:
            _set_password(connection, user_id, password_hash)

    def set_totp(self, user_id: str, locked_secret: str, used_step: int = 0) -> None:
        """Set the secret of the second factor, encrypted, and the step of the code that proved it; empty: none."""
        values = {"totp_secret": locked_secret, "totp_used_step": used_step}
        with self._writer.begin() as connection:
            _user(connection, user_id)
            connection.execute(update(USERS).where(USERS.c.user_id == user_id).values(values))

    def use_totp_step(self, user_id: str, step: int) -> bool:
        """Use up the time step of a code, and those before it; False: that was done already.

        Of several at once, one alone is told True: the database decides.
        """
        is_unused = (USERS.c.user_id == user_id) & (USERS.c.totp_used_step < step)
        with self._writer.begin() as connection:
            return bool(connection.execute(update(USERS).where(is_unused).values(totp_used_step=step)).rowcount)

    def set_link(self, login: str, token: str, expires_at_ms: int) -> None:
        """Let the token set the user's password, once, until that time. A token before it is worth nothing."""
        values = {"link_sha256": token_hash(token), "link_expires_at_ms": expires_at_ms}
        with self._writer.begin() as connection:
            changed = connection.execute(update(USERS).where(USERS.c.login == login).values(values))
            if not changed.rowcount:
                raise UnknownRecord("there is no user %(user)r", user=login)

    def of_link(self, token: str, now_ms: int) -> User | None:
        """Return the active user whose password the token may set; None: it is none, was used, or is too old."""
        with self._reader.begin() as connection:
            return next(iter(_load(connection, _opens(token, now_ms))), None)

    def use_link(self, token: str, password_hash: str, now_ms: int) -> User:
        """Set the password by a link, which is used up. Raises `UnknownRecord`."""
        with self._writer.begin() as connection:
            user = next(iter(_load(connection, _opens(token, now_ms))), None)
            if user is None:
                raise UnknownRecord("the link was used, or is too old")
            _set_password(connection, user.user_id, password_hash)
            return user

    def begin_session(self, user_id: str, token: str, address: str, user_agent: str, now_ms: int) -> None:
        """Store a session, and drop those that are over."""
        values = {
            "session_sha256": token_hash(token),
            "user_id": user_id,
            "created_at_ms": now_ms,
            "seen_at_ms": now_ms,
            "address": address[:64],
            "user_agent": user_agent[:200],
        }
        with self._writer.begin() as connection:
            connection.execute(delete(CONSOLE_SESSIONS).where(~_is_live(now_ms)))
            connection.execute(insert(CONSOLE_SESSIONS).values(values))

    def of_session(self, token: str, now_ms: int, *, notes_use: bool = True) -> User | None:
        """Return the active user of a live session, and note its use, unless a page asks that only stays open."""
        is_it = (CONSOLE_SESSIONS.c.session_sha256 == token_hash(token)) & _is_live(now_ms)
        with self._reader.begin() as connection:
            found = connection.execute(select(CONSOLE_SESSIONS).where(is_it)).one_or_none()
            if found is None:
                return None
            user = next(iter(_load(connection, (USERS.c.user_id == found.user_id) & USERS.c.is_active)), None)
        if notes_use and user is not None and now_ms - found.seen_at_ms >= _SEEN_EVERY_MS:
            with self._writer.begin() as connection:
                connection.execute(update(CONSOLE_SESSIONS).where(is_it).values(seen_at_ms=now_ms))
        return user

    def sessions(self, user_id: str, now_ms: int) -> list[Session]:
        """List a user's live sessions, newest first."""
        query = select(CONSOLE_SESSIONS).where(CONSOLE_SESSIONS.c.user_id == user_id, _is_live(now_ms))
        with self._reader.begin() as connection:
            rows = connection.execute(query.order_by(CONSOLE_SESSIONS.c.created_at_ms.desc()))
            return [
                Session(row.session_sha256, row.created_at_ms, row.seen_at_ms, row.address, row.user_agent)
                for row in rows
            ]

    def end_session(self, token: str) -> None:
        self._end(CONSOLE_SESSIONS.c.session_sha256 == token_hash(token))

    def end_sessions(self, user_id: str, session_sha256: str | None = None) -> None:
        """End one session of a user, or all."""
        is_it = CONSOLE_SESSIONS.c.user_id == user_id
        self._end(is_it if session_sha256 is None else is_it & (CONSOLE_SESSIONS.c.session_sha256 == session_sha256))

    def _end(self, which: ColumnElement[bool]) -> None:
        with self._writer.begin() as connection:
            connection.execute(delete(CONSOLE_SESSIONS).where(which))


def check_user(user: User) -> None:
    """Raise `InvalidRecord` naming the first field that is not acceptable."""
    require(bool(_LOGIN.match(user.login)), "login", user.login, "a-z, 0-9 and . _ @ + -, at most 64")
    if len(user.display_name) > 200:
        raise InvalidRecord("the name is too long: expected at most 200 characters")


def _is_live(now_ms: int) -> ColumnElement[bool]:
    sessions = CONSOLE_SESSIONS.c
    return (sessions.seen_at_ms > now_ms - IDLE_MS) & (sessions.created_at_ms > now_ms - LIFE_MS)


def _opens(token: str, now_ms: int) -> ColumnElement[bool]:
    return (USERS.c.link_sha256 == token_hash(token)) & (USERS.c.link_expires_at_ms > now_ms) & USERS.c.is_active


def _set_password(connection: Connection, user_id: str, password_hash: str) -> None:
    values = {"password_hash": password_hash, "link_sha256": "", "link_expires_at_ms": 0}
    changed = connection.execute(update(USERS).where(USERS.c.user_id == user_id).values(values))
    if not changed.rowcount:
        raise UnknownRecord("there is no user %(user)r", user=user_id)
    connection.execute(delete(CONSOLE_SESSIONS).where(CONSOLE_SESSIONS.c.user_id == user_id))


def _give_apps(connection: Connection, user: User) -> None:
    connection.execute(delete(USER_APPS).where(USER_APPS.c.user_id == user.user_id))
    rows = [{"user_id": user.user_id, "app_id": app_id} for app_id in sorted(user.app_ids)]
    if rows:
        connection.execute(insert(USER_APPS), rows)


def _values(user: User) -> dict[str, Any]:
    return {"display_name": user.display_name, "role": user.role.value, "is_active": user.is_active}


def _user(connection: Connection, user_id: str) -> User:
    found = _load(connection, USERS.c.user_id == user_id)
    if not found:
        raise UnknownRecord("there is no user %(user)r", user=user_id)
    return found[0]


def _load(connection: Connection, which: ColumnElement[bool] | None = None) -> list[User]:
    query = select(USERS).order_by(USERS.c.login)
    rows = list(connection.execute(query if which is None else query.where(which)).mappings())
    given: dict[str, set[str]] = {}
    ids = [row["user_id"] for row in rows]
    for row in connection.execute(select(USER_APPS).where(USER_APPS.c.user_id.in_(ids))):
        given.setdefault(row.user_id, set()).add(row.app_id)
    return [_from_row(row, given.get(row["user_id"], ())) for row in rows]


def _from_row(row: Mapping[Any, Any], app_ids: Collection[str]) -> User:
    return User(
        user_id=row["user_id"],
        login=row["login"],
        role=Role(row["role"]),
        display_name=row["display_name"],
        app_ids=frozenset(app_ids),
        is_active=row["is_active"],
        password_hash=row["password_hash"],
        totp_secret=row["totp_secret"],
        created_at_ms=row["created_at_ms"],
    )
