"""A key that all replicas sign with, and the jobs that write exports.

Immutable once released: a change is a new migration.
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004_signing_and_exports"
down_revision = "0003_goal_versions"


def upgrade() -> None:
    signing_keys = op.create_table(
        "signing_keys",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("secret_hex", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_signing_keys"),
    )
    op.execute(sa.insert(signing_keys).values(name="query", secret_hex=secrets.token_hex(32)))
    op.create_table(
        "export_jobs",
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("app_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("started_at_ms", sa.BigInteger, nullable=True),
        sa.Column("finished_at_ms", sa.BigInteger, nullable=True),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=True),
        sa.Column("owner", sa.String(64), nullable=False, server_default=""),
        sa.Column("lease_until_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("rows_total", sa.BigInteger, nullable=True),
        sa.Column("rows_done", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("bytes_written", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("is_cut", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("file_name", sa.String(200), nullable=False, server_default=""),
        sa.Column("complete_through_ms", sa.BigInteger, nullable=True),
        sa.Column("error", sa.JSON, nullable=True),
        sa.PrimaryKeyConstraint("job_id", name="pk_export_jobs"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.app_id"], name="fk_export_jobs_app_id", ondelete="CASCADE"),
    )
    op.create_index("ix_export_jobs_app_id", "export_jobs", ["app_id"])
    op.create_index("ix_export_jobs_state", "export_jobs", ["state"])
