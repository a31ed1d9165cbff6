"""Which pages may report into an app, and when each key was last used. Immutable once released.

The existing apps get the same default as new ones: pages of any origin.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002_allowed_origins"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("apps", sa.Column("allowed_origins", sa.JSON, nullable=False, server_default='["*"]'))
    op.add_column("api_keys", sa.Column("last_used_at_ms", sa.BigInteger, nullable=True))
