"""Alembic's entry: `migrate_control_plane` passes the connection, already inside its transaction."""

from alembic import context

from pipeline.control.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
