"""Apps as rows, for everything that belongs to one."""

from sqlalchemy import Connection, RowMapping, select

from pipeline.control.errors import UnknownRecord
from pipeline.control.tables import APPS


def app_row(connection: Connection, app_id: str) -> RowMapping:
    """Return the row of an app. Raises `UnknownRecord`."""
    row = connection.execute(select(APPS).where(APPS.c.app_id == app_id)).mappings().one_or_none()
    if row is None:
        raise UnknownRecord("there is no app %(id)r", id=app_id)
    return row
