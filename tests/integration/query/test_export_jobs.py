"""Jobs of exports: who sees them, what becomes of them when things go wrong."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from export_world import ask, ended, fetch

from pipeline.control.exports import ExportJob, ExportJobs, ExportState
from pipeline.runtime.clickhouse import ByteStream
from pipeline.runtime.settings import Settings
from schemas.control import Plan
from services.query.exports import jobs

Export = Callable[..., Awaitable[dict[str, Any]]]


async def test_nobody_else_sees_a_job(running: Any) -> None:
    client = await running()
    job = await ask(client, "events")
    for method in ("GET", "DELETE"):
        answer = await client.request(
            method, f"/v1/reports/export/{job['job_id']}", headers={"Authorization": "Bearer ak_test_beta"}
        )
        assert answer.status_code == 404
    assert (await ended(client, job["job_id"]))["state"] == "done"


async def test_a_link_is_the_permission(running: Any) -> None:
    client = await running()
    job = await ended(client, (await ask(client, "users"))["job_id"])
    other = await ended(client, (await ask(client, "users"))["job_id"])
    path, query = urlsplit(job["download_url"]).path, parse_qs(urlsplit(job["download_url"]).query)
    expires, signature = query["expires"][0], query["signature"][0]
    wrong = [
        (path, expires, signature[:-1] + ("0" if signature[-1] != "0" else "1")),
        (path, str(int(expires) + 1), signature),
        (path.replace(job["job_id"], other["job_id"]), expires, signature),
        (path, expires, ""),
        (path, expires, "é"),
    ]
    for at, until, signed in wrong:
        answer = await client.get(at, params={"expires": until, "signature": signed})
        assert answer.status_code == 403, answer.text
        assert answer.json()["error"]["details"].keys() == {"reason"}
    assert (await client.get(path)).status_code == 400


async def test_a_file_goes_when_its_time_is_over(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_SWEEP_SECONDS", 0.05)
    client = await running(export_file_hours=1 / 3600)
    job = await ended(client, (await ask(client, "users"))["job_id"], "done")
    over = await ended(client, job["job_id"], "expired")
    assert over["download_url"] is None
    assert (await client.get(job["download_url"])).status_code in (403, 404)


async def test_a_job_of_a_killed_process_is_done_by_the_next(running: Any, export_settings: Settings) -> None:
    dead = ExportJobs(export_settings.control_plane_dsn())
    client = await running()
    await client.get("/v1/reports/export/exp_" + "0" * 24)  # it runs
    job = ExportJob("exp_" + "d" * 24, "alpha", ExportState.QUEUED, {
        "report": "users", "format": "csv", "compression": "none", "filters": {}
    }, 1, file_name="attrikit-dead.csv")  # fmt: skip
    # As a kill leaves it: begun, and nobody renews the lease.
    with dead._writer.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO export_jobs (job_id, app_id, state, request, created_at_ms, file_name, owner, lease_until_ms,"
            " attempts, rows_done) VALUES (?, ?, 'running', ?, 1, ?, 'dead', 5, 1, 3)",
            (job.job_id, job.app_id, json.dumps(job.request), job.file_name),
        )
    found = await ended(client, job.job_id)
    assert found["state"] == "done"
    assert await fetch(client, found)
    assert dead.keep(job.job_id, "dead", 10**15, {}) is False, "the dead cannot take it back"
    dead.close()


async def test_a_process_that_lost_its_job_leaves_the_file_of_its_successor(
    running: Any, gate: "Gate", export_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still for longer than its lease; the next process has done the job when it wakes up and finds out."""
    client = await running()
    job = await ask(client, "events")
    await asyncio.to_thread(gate.reached.wait, 20)
    plane = ExportJobs(export_settings.control_plane_dsn())
    failed = threading.Event()

    def fail(*_given: Any) -> bool:
        failed.set()
        raise OSError("away")

    monkeypatch.setattr(ExportJobs, "keep", fail)
    assert await asyncio.to_thread(failed.wait, 20), "a renewal has failed, so none that succeeds is under way"
    with plane._writer.begin() as connection:
        connection.exec_driver_sql("UPDATE export_jobs SET lease_until_ms = 5 WHERE job_id = ?", (job["job_id"],))
    gate.opened.set()
    monkeypatch.undo()
    successor = await running()
    found = await ended(successor, job["job_id"], "done")
    rows = await fetch(successor, found)
    assert rows
    assert await fetch(client, found) == rows
    plane.close()


class Gate:
    """Holds a stream up after its first piece."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def slow(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            lines = piece.splitlines(keepends=True)
            yield lines[0]
            self.reached.set()
            self.opened.wait(20)
            yield b"".join(lines[1:])


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made, original = Gate(), ByteStream.__iter__
    monkeypatch.setattr(ByteStream, "__iter__", lambda self: made.slow(original(self)))
    yield made
    made.opened.set()


async def test_a_running_job_can_be_cancelled(running: Any, gate: Gate, export_settings: Settings) -> None:
    client = await running()
    job = await ask(client, "events")
    await asyncio.to_thread(gate.reached.wait, 20)
    seen = await ended(client, job["job_id"], "running")
    assert seen["download_url"] is None
    cancelled = (await client.delete(f"/v1/reports/export/{job['job_id']}")).json()["data"]
    assert cancelled["state"] == "cancelled"
    gate.opened.set()
    after = await ask(client, "users")
    assert (await ended(client, after["job_id"]))["state"] == "done"
    assert (await ended(client, job["job_id"]))["state"] == "cancelled"
    folder = Path(urlsplit(export_settings.export_url.get_secret_value()).path)
    assert [path for path in folder.iterdir() if job["job_id"] in path.name] == []


async def test_a_stopped_process_gives_its_job_back(running: Any, gate: Gate) -> None:
    first = await running()
    job = await ask(first, "events")
    await asyncio.to_thread(gate.reached.wait, 20)
    runner = first._transport.app.state.export_runner
    gate.opened.set()
    await runner.stop()
    second = await running()
    assert (await ended(second, job["job_id"]))["state"] == "done"


async def test_a_plan_limits_the_rows(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "ROW_LIMITS", dict.fromkeys(Plan, 10))
    client = await running()
    job = await ended(client, (await ask(client, "events"))["job_id"])
    assert job["state"] == "failed"
    assert job["error"]["code"] == "PAYLOAD_TOO_LARGE"
    assert job["error"]["details"]["limit"] == 10
    assert job["error"]["details"]["actual"] > 10
    english = await client.get(f"/v1/reports/export/{job['job_id']}", headers={"Accept-Language": "en"})
    assert "the plan's limit is 10" in english.json()["data"]["error"]["details"]["reason"]


async def test_jobs_that_wait_are_limited(running: Any, gate: Gate) -> None:
    client = await running(export_max_unfinished=2)
    for _ in range(2):
        await ask(client, "events")
    answer = await client.post("/v1/reports/export", json={"report": "events", "format": "csv"})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == "report"
    gate.opened.set()


async def test_a_query_that_breaks_off_leaves_no_file(
    running: Any, monkeypatch: pytest.MonkeyPatch, export_settings: Settings
) -> None:
    def broken(_stream: ByteStream) -> Iterator[bytes]:
        yield b'{"event_id":"half'
        yield b"Code: 241. DB::Exception: memory"

    monkeypatch.setattr(ByteStream, "__iter__", broken)
    client = await running()
    job = await ended(client, (await ask(client, "events"))["job_id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "SERVER_ERROR")
    folder = Path(urlsplit(export_settings.export_url.get_secret_value()).path)
    assert [path for path in folder.iterdir() if job["job_id"] in path.name] == []
