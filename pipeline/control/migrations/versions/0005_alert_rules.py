"""Rules that alert.

Immutable once released: a change is a new migration.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005_alert_rules"
down_revision = "0004_signing_and_exports"


def upgrade() -> None:
    op.create_table(
        "alert_rules",
        sa.Column("rule_id", sa.String(40), nullable=False),
        sa.Column("app_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("metric", sa.String(32), nullable=False),
        sa.Column("comparison", sa.String(32), nullable=False),
        sa.Column("threshold", sa.Float, nullable=False),
        sa.Column("window_seconds", sa.Integer, nullable=False),
        sa.Column("trailing_windows", sa.Integer, nullable=False),
        sa.Column("subject", sa.String(64), nullable=False, server_default=""),
        sa.Column("is_paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("active_from_ms", sa.BigInteger, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("removed_at_ms", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("rule_id", name="pk_alert_rules"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.app_id"], name="fk_alert_rules_app_id", ondelete="CASCADE"),
    )
    op.create_index("ix_alert_rules_app_id", "alert_rules", ["app_id"])
