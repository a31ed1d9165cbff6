"""What of an event is not stored. Apps that there are go on storing all of it.

Immutable once released: a change is a new migration.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009_privacy"
down_revision = "0008_locked_signing_keys"


def upgrade() -> None:
    as_before = '{"dropped_parameters": [], "client_address": "whole"}'
    op.add_column("apps", sa.Column("privacy", sa.JSON, nullable=False, server_default=as_before))
