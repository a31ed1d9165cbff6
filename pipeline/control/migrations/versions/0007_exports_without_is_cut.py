"""Nothing ever cut an export.

Immutable once released: a change is a new migration.
"""

from alembic import op

revision = "0007_exports_without_is_cut"
down_revision = "0006_webhooks"


def upgrade() -> None:
    op.drop_column("export_jobs", "is_cut")
