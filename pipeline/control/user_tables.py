"""Tables of the console: users, the apps they were given, their sessions, the log of changes."""

from typing import Final

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Integer, String, Table, UniqueConstraint, true

from pipeline.control.tables import METADATA

USERS: Final = Table(
    "users",
    METADATA,
    Column("user_id", String(40), primary_key=True),
    Column("login", String(64), nullable=False),
    Column("display_name", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    Column("password_hash", String(200), nullable=False, server_default=""),
    Column("totp_secret", String(400), nullable=False, server_default=""),
    Column("totp_used_step", BigInteger, nullable=False, server_default="0"),
    Column("link_sha256", String(64), nullable=False, server_default=""),
    Column("link_expires_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("created_at_ms", BigInteger, nullable=False),
    UniqueConstraint("login"),
)

USER_APPS: Final = Table(
    "user_apps",
    METADATA,
    Column("user_id", String(40), ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True),
    Column("app_id", String(64), ForeignKey("apps.app_id", ondelete="CASCADE"), primary_key=True),
)

CONSOLE_SESSIONS: Final = Table(
    "console_sessions",
    METADATA,
    Column("session_sha256", String(64), primary_key=True),
    Column("user_id", String(40), ForeignKey("users.user_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False),
    Column("address", String(64), nullable=False),
    Column("user_agent", String(200), nullable=False),
)

AUDIT_LOG: Final = Table(
    "audit_log",
    METADATA,
    Column("entry_id", Integer, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("login", String(64), nullable=False),
    Column("address", String(64), nullable=False),
    Column("app_id", String(64), nullable=False, index=True),
    Column("action", String(64), nullable=False),
    Column("target", String(200), nullable=False),
    Column("before", JSON, nullable=True),
    Column("after", JSON, nullable=True),
)
"""Rows are only ever added; an app that is deleted keeps its entries."""
