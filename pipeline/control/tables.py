"""The tables as SQLAlchemy knows them. The migrations make them; a test holds the two against each other."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

METADATA: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

APPS: Final = Table(
    "apps",
    METADATA,
    Column("app_id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("plan", String(16), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("timezone", String(64), nullable=False),
    Column("history_limit_days", Integer, nullable=False),
    Column("attribution", JSON, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("allowed_origins", JSON, nullable=False, server_default='["*"]'),
    Column("config_version", Integer, nullable=False, server_default="1"),
    Column("privacy", JSON, nullable=False, server_default='{"dropped_parameters": [], "client_address": "whole"}'),
    Column("allows_app_id", Boolean, nullable=False, server_default=false()),
)

GOALS: Final = Table(
    "goals",
    METADATA,
    Column("app_id", String(64), ForeignKey("apps.app_id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("display_name", String(200), nullable=False),
    Column("goal_type", String(16), nullable=False),
    Column("event_name", String(64), nullable=False),
    Column("value_properties", JSON, nullable=False),
    Column("position", Integer, nullable=False),
    Column("conditions", JSON, nullable=False, server_default="[]"),
    Column("counting", String(32), nullable=False, server_default="every"),
    Column("version", Integer, nullable=False, server_default="1"),
)

GOAL_VERSIONS: Final = Table(
    "goal_versions",
    METADATA,
    Column("app_id", String(64), ForeignKey("apps.app_id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("changed_at_ms", BigInteger, nullable=False),
    Column("change", String(16), nullable=False),
    Column("definition", JSON, nullable=False),
)
"""Every version of every goal, retired ones too; rows are only ever added."""

CONFIG_VERSIONS: Final = Table(
    "config_versions",
    METADATA,
    Column("app_id", String(64), ForeignKey("apps.app_id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("changed_at_ms", BigInteger, nullable=False),
    Column("attribution", JSON, nullable=False),
)
"""Every version of every app's attribution settings; rows are only ever added."""

API_KEYS: Final = Table(
    "api_keys",
    METADATA,
    Column("key_id", String(32), primary_key=True),
    Column("app_id", String(64), ForeignKey("apps.app_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("secret_sha256", String(64), nullable=False),
    Column("prefix", String(16), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("is_test", Boolean, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger, nullable=True),
    Column("last_used_at_ms", BigInteger, nullable=True),
    UniqueConstraint("secret_sha256"),
)

SIGNING_KEYS: Final = Table(
    "signing_keys",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("secret", Text, nullable=False),
)
"""Signing keys of all replicas; made once, by the migration. `query`: cursors and download links. Encrypted, or in hex
where there is no key to encrypt with.
"""

EXPORT_JOBS: Final = Table(
    "export_jobs",
    METADATA,
    Column("job_id", String(40), primary_key=True),
    Column("app_id", String(64), ForeignKey("apps.app_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("state", String(16), nullable=False, index=True),
    Column("request", JSON, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("started_at_ms", BigInteger, nullable=True),
    Column("finished_at_ms", BigInteger, nullable=True),
    Column("expires_at_ms", BigInteger, nullable=True),
    Column("owner", String(64), nullable=False, server_default=""),
    Column("lease_until_ms", BigInteger, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("rows_total", BigInteger, nullable=True),
    Column("rows_done", BigInteger, nullable=False, server_default="0"),
    Column("bytes_written", BigInteger, nullable=False, server_default="0"),
    Column("file_name", String(200), nullable=False, server_default=""),
    Column("complete_through_ms", BigInteger, nullable=True),
    Column("error", JSON, nullable=True),
)

ALERT_RULES: Final = Table(
    "alert_rules",
    METADATA,
    Column("rule_id", String(40), primary_key=True),
    Column("app_id", String(64), ForeignKey("apps.app_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("metric", String(32), nullable=False),
    Column("comparison", String(32), nullable=False),
    Column("threshold", Float, nullable=False),
    Column("window_seconds", Integer, nullable=False),
    Column("trailing_windows", Integer, nullable=False),
    Column("subject", String(64), nullable=False, server_default=""),
    Column("is_paused", Boolean, nullable=False, server_default=false()),
    Column("active_from_ms", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("removed_at_ms", BigInteger, nullable=True),
)
"""A rule that is removed stays, so that its alerts can be told of."""
