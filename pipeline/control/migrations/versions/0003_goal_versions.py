"""Goals with conditions, countings and versions; the history of goals and attribution settings.

Immutable once released: a change is a new migration.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003_goal_versions"
down_revision = "0002_allowed_origins"


def upgrade() -> None:
    op.add_column("apps", sa.Column("config_version", sa.Integer, nullable=False, server_default="1"))
    op.add_column("goals", sa.Column("conditions", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("goals", sa.Column("counting", sa.String(32), nullable=False, server_default="every"))
    op.add_column("goals", sa.Column("version", sa.Integer, nullable=False, server_default="1"))
    goal_versions = op.create_table(
        "goal_versions",
        sa.Column("app_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
        sa.Column("change", sa.String(16), nullable=False),
        sa.Column("definition", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "name", "version", name="pk_goal_versions"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.app_id"], name="fk_goal_versions_app_id", ondelete="CASCADE"),
    )
    config_versions = op.create_table(
        "config_versions",
        sa.Column("app_id", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
        sa.Column("attribution", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "version", name="pk_config_versions"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.app_id"], name="fk_config_versions_app_id", ondelete="CASCADE"),
    )
    _record_today(goal_versions, config_versions)


def _record_today(goal_versions: sa.Table, config_versions: sa.Table) -> None:
    """What is in force becomes version 1, in force since its app was made."""
    apps = sa.table(
        "apps", sa.column("app_id"), sa.column("created_at_ms", sa.BigInteger), sa.column("attribution", sa.JSON)
    )
    named = ("app_id", "name", "display_name", "goal_type", "event_name")
    goals = sa.table("goals", *map(sa.column, named), sa.column("value_properties", sa.JSON))
    connection = op.get_bind()
    made_at_ms = {}
    for app in connection.execute(sa.select(apps)).mappings().all():
        made_at_ms[app["app_id"]] = app["created_at_ms"]
        connection.execute(
            sa.insert(config_versions).values(
                app_id=app["app_id"], version=1, changed_at_ms=app["created_at_ms"], attribution=app["attribution"]
            )
        )
    for goal in connection.execute(sa.select(goals)).mappings().all():
        definition = {name: goal[name] for name in (*named[2:], "value_properties")}
        connection.execute(
            sa.insert(goal_versions).values(
                app_id=goal["app_id"],
                name=goal["name"],
                version=1,
                changed_at_ms=made_at_ms[goal["app_id"]],
                change="added",
                definition=definition | {"conditions": [], "counting": "every"},
            )
        )
