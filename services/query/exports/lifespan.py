"""Exports as a part of the query service: the application's state for its routes, and its background work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from pipeline.control.exports import ExportJobs
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.settings import ExportSettings
from services.query.exports.jobs import ExportLimits, ExportRunner
from services.query.exports.storage import Storage


def prepare_exports(app: FastAPI, settings: ExportSettings) -> None:
    """Prepare the exports. Touches neither database nor storage."""
    app.state.export_jobs = ExportJobs(settings.control_plane_dsn())
    app.state.export_max_unfinished = settings.export_max_unfinished
    app.state.export_runner = None
    app.state.export_storage = None


@asynccontextmanager
async def exporting(app: FastAPI, settings: ExportSettings, clickhouse: ClickHouse) -> AsyncIterator[None]:
    """Work on export jobs while the service runs. Raises `StorageFailed` if the storage cannot be named."""
    limits = ExportLimits(settings.export_max_seconds, settings.export_max_memory_bytes, settings.export_file_hours)
    state = app.state
    state.export_storage = Storage.open(settings)
    state.export_runner = ExportRunner(
        state.export_jobs, state.export_storage, clickhouse, state.reader, state.snapshots, limits
    )
    await state.export_runner.start()
    try:
        yield
    finally:
        await state.export_runner.stop()
        state.export_runner = None
        state.export_jobs.close()
