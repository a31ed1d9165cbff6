"""Apps that let pages report by the app's id, without a key. No app does before it is told to.

Immutable once released: a change is a new migration.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010_app_id_reporting"
down_revision = "0009_privacy"


def upgrade() -> None:
    op.add_column("apps", sa.Column("allows_app_id", sa.Boolean, nullable=False, server_default=sa.false()))
