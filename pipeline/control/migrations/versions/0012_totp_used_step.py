"""Users remember the time step of the last code of their second factor, so that no code opens a second session.

Immutable once released: a change is a new migration.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012_totp_used_step"
down_revision = "0011_console"


def upgrade() -> None:
    op.add_column("users", sa.Column("totp_used_step", sa.BigInteger, nullable=False, server_default="0"))
