"""Export jobs: one owner at a time, whatever happens to owners."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.control import ControlPlane, migrate_control_plane
from pipeline.control.exports import ExportJob, ExportJobs, ExportState
from schemas.control import App

REQUEST = {"report": "events", "format": "csv", "compression": "none", "filters": {}}
LEASE = 1_000


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[ExportJobs]:
    dsn = f"sqlite:///{tmp_path}/control.db"
    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    store.create_app(App("shop", "Shop"), 1)
    store.create_app(App("other", "Other"), 1)
    store.close()
    opened = ExportJobs(dsn)
    yield opened
    opened.close()


def job(job_id: str, at_ms: int = 5, app_id: str = "shop") -> ExportJob:
    return ExportJob(job_id, app_id, ExportState.QUEUED, REQUEST, at_ms, file_name=job_id + ".csv")


def test_a_job_goes_its_way(jobs: ExportJobs) -> None:
    assert jobs.add(job("a"), 10)
    assert jobs.find("a", "shop") == job("a")
    taken = jobs.claim("me", 100, LEASE)
    assert taken is not None
    assert (taken.job_id, taken.state, taken.attempts, taken.started_at_ms) == ("a", ExportState.RUNNING, 1, 100)
    assert jobs.keep("a", "me", 2_000, {"rows_done": 7, "rows_total": 9})
    assert jobs.finish("a", "me", ExportState.DONE, {"finished_at_ms": 300, "expires_at_ms": 400, "rows_done": 9})
    done = jobs.find("a")
    assert done is not None
    assert (done.state, done.rows_done, done.rows_total, done.expires_at_ms) == (ExportState.DONE, 9, 9, 400)
    assert jobs.expire(399) == []
    assert [over.job_id for over in jobs.expire(400)] == ["a"]
    assert jobs.find("a").state is ExportState.EXPIRED  # type: ignore[union-attr]
    assert jobs.expire(400) == []


def test_the_oldest_comes_first_and_each_has_one_owner(jobs: ExportJobs) -> None:
    for job_id, at_ms in (("b", 7), ("a", 6)):
        jobs.add(job(job_id, at_ms), 10)
    taken = [jobs.claim(owner, 100, LEASE) for owner in ("one", "two", "three")]
    assert [found.job_id if found else None for found in taken] == ["a", "b", None]
    assert not jobs.keep("a", "two", 5_000, {})
    assert not jobs.finish("a", "two", ExportState.DONE, {})


def test_an_abandoned_job_is_anybodys_and_its_old_owner_finds_out(jobs: ExportJobs) -> None:
    jobs.add(job("a"), 10)
    jobs.claim("dead", 100, LEASE)
    assert jobs.claim("next", 100 + LEASE, LEASE) is None
    taken = jobs.claim("next", 101 + LEASE, LEASE)
    assert taken is not None
    assert (taken.attempts, taken.rows_done) == (2, 0)
    assert not jobs.keep("a", "dead", 10**6, {"rows_done": 5})
    assert not jobs.finish("a", "dead", ExportState.DONE, {})
    assert jobs.keep("a", "next", 10**6, {})


def test_a_lease_given_back_is_free_at_once(jobs: ExportJobs) -> None:
    jobs.add(job("a"), 10)
    jobs.claim("leaving", 100, LEASE)
    assert jobs.keep("a", "leaving", 0, {})
    assert jobs.claim("next", 101, LEASE) is not None


def test_cancelling(jobs: ExportJobs) -> None:
    jobs.add(job("a"), 10)
    jobs.add(job("b", 6), 10)
    assert jobs.cancel("a", "other", 9) is None
    assert jobs.cancel("none", "shop", 9) is None
    cancelled = jobs.cancel("a", "shop", 9)
    assert cancelled is not None
    assert (cancelled.state, cancelled.finished_at_ms) == (ExportState.CANCELLED, 9)
    taken = jobs.claim("me", 100, LEASE)
    assert taken is not None
    assert taken.job_id == "b"
    jobs.cancel("b", "shop", 101)
    assert not jobs.keep("b", "me", 10**6, {})
    assert not jobs.finish("b", "me", ExportState.DONE, {})
    assert jobs.claim("me", 10**9, LEASE) is None


def test_an_app_has_so_many_unfinished_ones(jobs: ExportJobs) -> None:
    assert [jobs.add(job(name), 2) for name in ("a", "b", "c")] == [True, True, False]
    assert jobs.add(job("d", app_id="other"), 2)
    jobs.cancel("a", "shop", 9)
    assert jobs.add(job("e"), 2)
    assert jobs.find("c") is None
    assert jobs.find("d", "shop") is None
