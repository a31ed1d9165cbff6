"""The tables as SQLAlchemy knows them. The migrations make them; a test holds the two against each other."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
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
)

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
