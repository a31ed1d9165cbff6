"""Run export jobs: claimed in the control plane, read from ClickHouse, written to the storage, one after the other.

    Step 1  claim the oldest job nobody works on, for as long as the lease is kept up
    Step 2  count its rows; more than the plan allows end it
    Step 3  read, encode and store them piece by piece; the lease's keeper notes how far it is
    Step 4  the file is there: the job is done, and its link holds until the file expires

A kill anywhere leaves a job whose lease runs out; the next process that claims it starts at step 2 with a file of its
own, and deletes what an earlier attempt has left. A cancelled job's keeper learns of it with the next renewal.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final

from pipeline.control.exports import MAX_ATTEMPTS, ExportJob, ExportJobs, ExportState
from pipeline.runtime.clickhouse import ClickHouse, ClickHouseError, ClickHouseUnavailable
from pipeline.runtime.clock import monotonic_seconds, now_ms
from pipeline.runtime.lifecycle import Background, Stopped, cancel, run_before
from pipeline.runtime.log import get_logger
from pipeline.runtime.waiting import event_or_timeout
from schemas.control import App
from schemas.errors import ErrorCode
from services.query.core.parameters import InZone, zone_of
from services.query.core.reader import AnswerReader, Reader, Snapshots
from services.query.core.rows import BrokenRows
from services.query.exports.columns import Column
from services.query.exports.files import FileEncoder
from services.query.exports.parameters import ROW_LIMITS, AnyExport, EventsExport, PerformanceExport, restored
from services.query.exports.performance_rows import performance_pieces
from services.query.exports.statements import EXPORT_SETTINGS, ExportSource, source_of, too_many_rows
from services.query.exports.storage import Storage, StorageFailed
from services.query.identity.lookup import find_session
from services.query.identity.sessions import FoundSession
from services.web.errors import ApiError, Text

WORKERS: Final = 2
LEASE_MS: Final = 15_000
_RENEW_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 2.0
_SWEEP_SECONDS: Final = 30.0
_RETRY: Final = (ClickHouseUnavailable, StorageFailed)
_log = get_logger("export")


@dataclass(frozen=True)
class ExportLimits:
    seconds: float
    memory_bytes: int
    file_hours: float

    def clause(self) -> str:
        return EXPORT_SETTINGS.format(seconds=f"{self.seconds:g}", memory_bytes=self.memory_bytes)


class ExportRunner:
    def __init__(
        self,
        jobs: ExportJobs,
        storage: Storage,
        clickhouse: ClickHouse,
        reader: Reader,
        snapshots: Snapshots,
        limits: ExportLimits,
    ) -> None:
        self._jobs = jobs
        self._storage = storage
        self._clickhouse = clickhouse
        self._reader = reader
        self._snapshots = snapshots
        self._limits = limits
        self._woken = asyncio.Event()
        self._background = Background()

    async def start(self) -> None:
        for _ in range(WORKERS):
            self._background.start(self._work())
        self._background.start(self._sweep())

    async def stop(self) -> None:
        """Stop. The job under way is given back, to be started over by the next process."""
        await self._background.stop()

    def wake(self) -> None:
        """Note that there is a new job."""
        self._woken.set()

    async def _work(self) -> None:
        while True:
            try:
                owner = secrets.token_hex(12)  # of this claim: another worker of this process is another owner
                job = await asyncio.to_thread(self._jobs.claim, owner, now_ms(), LEASE_MS)
                if job is not None:
                    await self._do(job, owner)
                    continue
            except Exception as error:  # the control plane is away, say: the next round finds out
                _log.warning("export_round_failed", error=type(error).__name__)
                await asyncio.sleep(_POLL_SECONDS)
            self._woken.clear()
            await event_or_timeout(self._woken, _POLL_SECONDS)

    async def _do(self, job: ExportJob, owner: str) -> None:
        began = monotonic_seconds()
        running = _Running(job, owner)
        keeping = asyncio.create_task(self._keep(running))
        try:
            done = await run_before(running.lost, self._write(running))
            state, values = ExportState.DONE, done
        except Stopped:
            await self._storage.delete(job.stored_name)
            _log.info("export_given_up", job_id=job.job_id)
            return
        except asyncio.CancelledError:
            await asyncio.to_thread(self._jobs.keep, job.job_id, owner, 0, {})
            raise
        except _RETRY as error:
            if job.attempts < MAX_ATTEMPTS:
                _log.warning("export_interrupted", job_id=job.job_id, error=type(error).__name__, said=str(error)[:300])
                return  # its lease runs out, and it is tried again
            state, values = ExportState.FAILED, _failure(error)
        except (ApiError, ClickHouseError, BrokenRows) as error:
            _log.warning("export_failed", job_id=job.job_id, error=type(error).__name__, said=str(error)[:500])
            state, values = ExportState.FAILED, _failure(error)
        finally:
            await cancel(keeping)
        if not await asyncio.to_thread(self._jobs.finish, job.job_id, owner, state, values | running.progress):
            await self._storage.delete(job.stored_name)
            return
        _log.info("export_ended", job_id=job.job_id, state=state, seconds=round(monotonic_seconds() - began, 1))

    async def _keep(self, running: "_Running") -> None:
        """Keep the job (step 3, beside the writing): renew the lease, note the progress, learn of a cancellation."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            until_ms = now_ms() + LEASE_MS
            with suppress(OSError):
                try:
                    is_mine = await asyncio.to_thread(
                        self._jobs.keep, running.job.job_id, running.owner, until_ms, running.progress
                    )
                except Exception as error:  # away for a moment: the lease outlasts many tries
                    _log.warning("export_lease_not_renewed", error=type(error).__name__)
                    continue
                if not is_mine:
                    running.lost.set()

    async def _write(self, running: "_Running") -> dict[str, Any]:
        job = running.job
        for left in job.earlier_names:
            await self._storage.delete(left)
        app = self._snapshots.current().apps.get(job.app_id)
        if app is None or job.attempts > MAX_ATTEMPTS:
            raise ApiError(ErrorCode.SERVER_ERROR, reason=_GIVEN_UP)
        running.complete_through_ms = await self._reader.complete_through_ms()
        export = restored(job.request)
        with self._reader.answering(app.app_id) as reader:
            if isinstance(export, PerformanceExport):
                columns, pieces = await performance_pieces(reader, app, export)
                running.rows_total = sum(piece.count(b"\n") for piece in pieces)
                await self._store(running, _encoder(columns, export, app), iter(pieces))
            else:
                await self._stream(running, app, export, reader)
        ended_ms = now_ms()
        return {"finished_at_ms": ended_ms, "expires_at_ms": ended_ms + int(self._limits.file_hours * 3_600_000)}

    async def _stream(self, running: "_Running", app: App, export: AnyExport, reader: AnswerReader) -> None:
        wanted = source_of(app, export, await _session(app, export, reader))
        running.rows_total = await _count(app, wanted, reader)
        statement = wanted.rows
        stream = self._clickhouse.stream(statement.sql + self._limits.clause(), statement.parameters)
        try:
            await self._store(running, _encoder(wanted.columns, export, app), iter(stream))
        finally:
            await asyncio.to_thread(stream.close)

    async def _store(self, running: "_Running", encoder: FileEncoder, pieces: Iterator[bytes]) -> None:
        """Store the file (step 3)."""
        pool = ThreadPoolExecutor(1, "export")
        try:
            async with aclosing(_encoded(running, encoder, pieces, pool)) as data:
                await self._storage.write(running.job.stored_name, data)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    async def _sweep(self) -> None:
        """Delete the files whose time is over."""
        while True:
            try:
                for job in await asyncio.to_thread(self._jobs.expire, now_ms()):
                    await self._storage.delete(job.stored_name)
            except Exception as error:
                _log.warning("export_sweep_failed", error=type(error).__name__)
            await asyncio.sleep(_SWEEP_SECONDS)


async def _session(app: App, export: AnyExport, reader: AnswerReader) -> FoundSession | None:
    if not isinstance(export, EventsExport) or export.filters.session_id is None:
        return None
    return await find_session(app.app_id, reader, export.filters.session_id)


async def _count(app: App, wanted: ExportSource, reader: AnswerReader) -> int:
    """Count the rows (step 2)."""
    found = await reader.rows(wanted.count)
    count, limit = found[0].row_count, ROW_LIMITS[app.plan]
    if count > limit:
        raise ApiError(
            ErrorCode.PAYLOAD_TOO_LARGE,
            field="filters",
            reason=too_many_rows(limit, count),
            limit=limit,
            actual=count,
        )
    return count


def _encoder(columns: Sequence[Column], export: AnyExport, app: App) -> FileEncoder:
    """Raises `ApiError` for a zone that is none."""
    sheet_zone = zone_of(InZone(tz=export.filters.tz), app) if export.spreadsheet else None
    return FileEncoder(columns, export.format, export.compression, sheet_zone)


_GIVEN_UP: Final = Text("导出多次中断，已放弃", "it was interrupted too often, and given up")
_BROKEN: Final = Text("数据库中断了读取", "the database broke off")


class _Running:
    """A job under way."""

    def __init__(self, job: ExportJob, owner: str) -> None:
        self.job = job
        self.owner = owner
        self.lost = asyncio.Event()
        """Set when the job was cancelled, or another process has it."""
        self.rows_total: int | None = None
        self.rows_done = 0
        self.bytes_written = 0
        self.complete_through_ms: int | None = None

    @property
    def progress(self) -> dict[str, int | None]:
        return {
            "rows_total": self.rows_total,
            "rows_done": self.rows_done,
            "bytes_written": self.bytes_written,
            "complete_through_ms": self.complete_through_ms,
        }


async def _encoded(
    running: _Running, encoder: FileEncoder, pieces: Iterator[bytes], pool: ThreadPoolExecutor
) -> AsyncGenerator[bytes, None]:
    """Encode in a thread, a step at a time, reading and encoding together: nothing is read before there is room for
    it.
    """
    loop = asyncio.get_running_loop()
    steps = encoder.encode(pieces)
    while (data := await loop.run_in_executor(pool, next, steps, None)) is not None:
        running.rows_done = encoder.rows
        running.bytes_written += len(data)
        if data:
            yield data


def _failure(error: Exception) -> dict[str, Any]:
    """Describe a failure for the job; the log has the details."""
    told = error if isinstance(error, ApiError) else ApiError(ErrorCode.SERVER_ERROR, reason=_BROKEN)
    said = {language: told.body(language) for language in ("zh", "en")}
    details = {language: body.details for language, body in said.items()}
    return {"error": {"code": told.code.value, "details": details}, "finished_at_ms": now_ms()}
