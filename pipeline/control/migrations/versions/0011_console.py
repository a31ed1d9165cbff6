"""Users of the console, the apps they were given, their sessions, and the log of changes. One user: `admin`, with no
password yet.

Immutable once released: a change is a new migration.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011_console"
down_revision = "0010_app_id_reporting"


def upgrade() -> None:
    users = op.create_table(
        "users",
        sa.Column("user_id", sa.String(40), nullable=False),
        sa.Column("login", sa.String(64), nullable=False),
        sa.Column("display_name", sa.String(200), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.String(200), nullable=False, server_default=""),
        sa.Column("totp_secret", sa.String(400), nullable=False, server_default=""),
        sa.Column("link_sha256", sa.String(64), nullable=False, server_default=""),
        sa.Column("link_expires_at_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_users"),
        sa.UniqueConstraint("login", name="uq_users_login"),
    )
    op.create_table(
        "user_apps",
        sa.Column("user_id", sa.String(40), nullable=False),
        sa.Column("app_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "app_id", name="pk_user_apps"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_user_apps_user_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.app_id"], name="fk_user_apps_app_id", ondelete="CASCADE"),
    )
    op.create_table(
        "console_sessions",
        sa.Column("session_sha256", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(40), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger, nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("user_agent", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("session_sha256", name="pk_console_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_console_sessions_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_console_sessions_user_id", "console_sessions", ["user_id"])
    op.create_table(
        "audit_log",
        sa.Column("entry_id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("login", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("app_id", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.String(200), nullable=False),
        sa.Column("before", sa.JSON, nullable=True),
        sa.Column("after", sa.JSON, nullable=True),
        sa.PrimaryKeyConstraint("entry_id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_app_id", "audit_log", ["app_id"])
    op.bulk_insert(
        users, [{"user_id": "usr_admin", "login": "admin", "display_name": "", "role": "admin", "created_at_ms": 0}]
    )
