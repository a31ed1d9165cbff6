"""Export jobs in the control plane's database: who may work on one, how far it is, what became of it.

A job belongs to the process that holds its lease. One whose lease has run out is anybody's again: the process was
killed, and the next one starts the job over. Every change of a running job names its owner, so a process that lost its
lease (paused for long, say) finds out and stops.

    queued → running → done → expired
                     → failed
    queued, running → cancelled
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, update

from pipeline.control.engine import build_engine
from pipeline.control.records import record_of
from pipeline.control.tables import EXPORT_JOBS

MAX_ATTEMPTS: Final = 3
"""A job that takes its process down with it must not do so for ever."""


class ExportState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


_UNFINISHED: Final = (ExportState.QUEUED.value, ExportState.RUNNING.value)


@dataclass(frozen=True)
class ExportJob:
    job_id: str
    app_id: str
    state: ExportState
    request: dict[str, Any]
    created_at_ms: int
    started_at_ms: int | None = None
    finished_at_ms: int | None = None
    expires_at_ms: int | None = None
    """Expiry of the file, once it is there."""
    attempts: int = 0
    rows_total: int | None = None
    rows_done: int = 0
    bytes_written: int = 0
    file_name: str = ""
    """Name of the download."""
    complete_through_ms: int | None = None
    error: dict[str, Any] | None = None

    @property
    def stored_name(self) -> str:
        """Return the key under which the present attempt's file is stored: each attempt has its own, so that a process
        that lost the job cannot touch the file of its successor.
        """
        return attempt_name(self.file_name, self.attempts)

    @property
    def earlier_names(self) -> list[str]:
        """Return the keys under which attempts before this one may have left a file."""
        return [attempt_name(self.file_name, attempt) for attempt in range(1, self.attempts)]


def attempt_name(file_name: str, attempt: int) -> str:
    return file_name if attempt <= 1 else f"attempt-{attempt}/{file_name}"


class ExportJobs:
    """Blocking. Times are milliseconds since the epoch."""

    def __init__(self, dsn: str) -> None:
        self._writer = build_engine(dsn, writes=True, creates=False)
        self._reader = build_engine(dsn, writes=False)

    def close(self) -> None:
        self._writer.dispose()
        self._reader.dispose()

    def add(self, job: ExportJob, max_unfinished: int) -> bool:
        """False: the app has that many unfinished ones already."""
        with self._writer.begin() as connection:
            waiting = select(func.count()).where(EXPORT_JOBS.c.app_id == job.app_id, _is_in(*_UNFINISHED))
            if (connection.execute(waiting).scalar() or 0) >= max_unfinished:
                return False
            values: dict[str, Any] = {"job_id": job.job_id, "app_id": job.app_id, "state": job.state.value}
            values |= {"request": job.request, "created_at_ms": job.created_at_ms, "file_name": job.file_name}
            connection.execute(insert(EXPORT_JOBS).values(values))
            return True

    def find(self, job_id: str, app_id: str | None = None) -> ExportJob | None:
        """`app_id`: None: of any app."""
        query = select(EXPORT_JOBS).where(EXPORT_JOBS.c.job_id == job_id)
        if app_id is not None:
            query = query.where(EXPORT_JOBS.c.app_id == app_id)
        with self._reader.begin() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else record_of(ExportJob, row)

    def newest(self, app_id: str, limit: int) -> list[ExportJob]:
        """List the newest jobs of an app, newest first."""
        query = select(EXPORT_JOBS).where(EXPORT_JOBS.c.app_id == app_id)
        query = query.order_by(EXPORT_JOBS.c.created_at_ms.desc(), EXPORT_JOBS.c.job_id).limit(limit)
        with self._reader.begin() as connection:
            return [record_of(ExportJob, row) for row in connection.execute(query).mappings()]

    def claim(self, owner: str, now_ms: int, lease_ms: int) -> ExportJob | None:
        """The oldest job nobody works on is the owner's now. None: there is none."""
        is_free = _is_free(now_ms)
        with self._writer.begin() as connection:
            oldest = select(EXPORT_JOBS.c.job_id).where(is_free).order_by(EXPORT_JOBS.c.created_at_ms).limit(1)
            job_id = connection.execute(oldest).scalar_one_or_none()
            if job_id is None:
                return None
            taken = update(EXPORT_JOBS).where(EXPORT_JOBS.c.job_id == job_id, is_free)
            values = {"state": ExportState.RUNNING.value, "owner": owner, "lease_until_ms": now_ms + lease_ms}
            values |= {"started_at_ms": now_ms, "rows_done": 0, "bytes_written": 0}
            done = connection.execute(taken.values(values | {"attempts": EXPORT_JOBS.c.attempts + 1}))
            if not done.rowcount:
                return None  # another process was faster
            row = connection.execute(select(EXPORT_JOBS).where(EXPORT_JOBS.c.job_id == job_id)).mappings().one()
            return record_of(ExportJob, row)

    def keep(self, job_id: str, owner: str, lease_until_ms: int, progress: Mapping[str, int | None]) -> bool:
        """Renew the lease and note the progress (columns of the table). False: the job is not the owner's any more."""
        return self._change(job_id, owner, dict(progress) | {"lease_until_ms": lease_until_ms})

    def finish(self, job_id: str, owner: str, state: ExportState, values: Mapping[str, Any]) -> bool:
        """False: it was cancelled, or is another's, meanwhile."""
        return self._change(job_id, owner, dict(values) | {"state": state.value, "lease_until_ms": 0})

    def cancel(self, job_id: str, app_id: str, now_ms: int) -> ExportJob | None:
        """An unfinished job ends; a finished one stays as it is. None: there is no such job of the app."""
        is_it = and_(EXPORT_JOBS.c.job_id == job_id, EXPORT_JOBS.c.app_id == app_id)
        with self._writer.begin() as connection:
            ends = {"state": ExportState.CANCELLED.value, "finished_at_ms": now_ms, "lease_until_ms": 0}
            connection.execute(update(EXPORT_JOBS).where(is_it, _is_in(*_UNFINISHED)).values(ends))
            row = connection.execute(select(EXPORT_JOBS).where(is_it)).mappings().one_or_none()
        return None if row is None else record_of(ExportJob, row)

    def expire(self, now_ms: int, limit: int = 100) -> list[ExportJob]:
        """Jobs whose files have to go now; they are `expired` from here on."""
        is_over = and_(_is_in(ExportState.DONE.value), EXPORT_JOBS.c.expires_at_ms <= now_ms)
        with self._writer.begin() as connection:
            rows = connection.execute(select(EXPORT_JOBS).where(is_over).limit(limit)).mappings().all()
            ids = [row["job_id"] for row in rows]
            ends = update(EXPORT_JOBS).where(EXPORT_JOBS.c.job_id.in_(ids))
            connection.execute(ends.values(state=ExportState.EXPIRED.value))
        return [record_of(ExportJob, row) for row in rows]

    def _change(self, job_id: str, owner: str, values: dict[str, Any]) -> bool:
        is_mine = and_(EXPORT_JOBS.c.job_id == job_id, EXPORT_JOBS.c.owner == owner, _is_in(ExportState.RUNNING.value))
        with self._writer.begin() as connection:
            return bool(connection.execute(update(EXPORT_JOBS).where(is_mine).values(values)).rowcount)


def _is_in(*states: str) -> ColumnElement[bool]:
    return EXPORT_JOBS.c.state.in_(states)


def _is_free(now_ms: int) -> ColumnElement[bool]:
    is_abandoned = and_(_is_in(ExportState.RUNNING.value), EXPORT_JOBS.c.lease_until_ms < now_ms)
    return or_(_is_in(ExportState.QUEUED.value), is_abandoned)
