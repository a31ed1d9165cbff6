"""Room for encrypted signing keys. Those there are stay in hex here; `migrate_control_plane` encrypts them.

Immutable once released: a change is a new migration.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008_locked_signing_keys"
down_revision = "0007_exports_without_is_cut"


def upgrade() -> None:
    with op.batch_alter_table("signing_keys") as table:
        table.alter_column(
            "secret_hex",
            new_column_name="secret",
            type_=sa.Text,
            existing_type=sa.String(128),
            existing_nullable=False,
        )
