"""Decisions at the end of an attempt, up the whole schedule, by an injected clock."""

import msgspec
import pytest

from schemas.webhooks import Delivery, Outcome
from services.webhook_calls.sender import Reply
from services.webhooks.attempt_outcome import AttemptOutcome, Moment, conclude, defer, skip
from services.webhooks.retry_schedule import RetrySchedule

SCHEDULE = RetrySchedule()
NOW_MS = 1_700_000_000_000
GOOD = Reply(200, "", 12, "fine")
BAD = Reply(500, "HTTP 500", 12, "no")


def new(**given: object) -> Delivery:
    made = Delivery("whd_1", "whe_1", "shop", "conversion.created", "cnv_1", "u:1", 1, msgspec.Raw(b"{}"), NOW_MS, 3)
    return msgspec.structs.replace(made, **given)


def ruled(delivery: Delivery, reply: Reply, now_ms: int = NOW_MS, unit: float = 0.5) -> AttemptOutcome:
    return conclude(delivery, b"{}", reply, Moment(now_ms, unit), SCHEDULE)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_success(status: int) -> None:
    concluded = ruled(new(), Reply(status, "", 1))
    assert (concluded.outcome, concluded.again) == (Outcome.DELIVERED, None)


@pytest.mark.parametrize("status", [0, 301, 302, 307, 400, 401, 403, 404, 405, 408, 429, 500, 503])
def test_anything_else_comes_again(status: int) -> None:
    concluded = ruled(new(), Reply(status, f"HTTP {status}", 1))
    assert concluded.outcome is Outcome.RETRYING
    assert concluded.again is not None
    assert (concluded.again.attempt, concluded.again.due_ms) == (2, NOW_MS + 5_000)


def test_gone_is_the_end_of_it() -> None:
    concluded = ruled(new(), Reply(410, "HTTP 410", 1))
    assert (concluded.outcome, concluded.again) == (Outcome.FAILED, None)


def test_the_whole_schedule_and_then_the_dead_letter() -> None:
    delivery, now, gaps, rows = new(), NOW_MS, [], []
    while True:
        concluded = ruled(delivery, BAD, now)
        assert concluded.row is not None
        rows.append(concluded.row)
        if concluded.again is None:
            break
        gaps.append(concluded.again.due_ms - now)
        delivery, now = concluded.again, concluded.again.due_ms
    assert [gap // 1000 for gap in gaps] == [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]
    assert [row.attempt for row in rows] == list(range(1, 9))
    assert [row.outcome for row in rows] == ["retrying"] * 7 + ["failed"]
    assert len({row.attempt_id for row in rows}) == 8
    assert {(row.delivery_id, row.sequence) for row in rows} == {("whd_1", 3)}


def test_retry_after_moves_the_next_attempt() -> None:
    concluded = ruled(new(), Reply(503, "HTTP 503", 1, retry_after="3600"))
    assert concluded.again is not None
    assert concluded.again.due_ms == NOW_MS + 3_600_000
    assert concluded.row is not None
    assert concluded.row.next_attempt_ms == NOW_MS + 3_600_000


def test_the_log_says_when_an_attempt_began() -> None:
    row = ruled(new(), GOOD).row
    assert row is not None
    assert (row.attempted_at_ms, row.duration_ms, row.status, row.response_head) == (NOW_MS - 12, 12, 200, "fine")


def put_off(delivery: Delivery, is_working: bool = False) -> AttemptOutcome:
    return defer(delivery, "it is down", NOW_MS, SCHEDULE, is_working)


def test_what_is_put_off_keeps_its_attempts_and_is_logged_once() -> None:
    first = put_off(new(attempt=3))
    assert first.again is not None
    assert (first.again.attempt, first.again.deferrals, first.again.due_ms) == (3, 1, NOW_MS + 16_000)
    assert first.row is not None
    assert first.row.outcome == "deferred"
    second = put_off(first.again)
    assert second.row is None
    assert second.again is not None
    assert second.again.due_ms == NOW_MS + 64_000
    failed = ruled(second.again, BAD)
    assert failed.again is not None
    assert (failed.again.attempt, failed.again.deferrals) == (4, 0)


def test_an_endpoint_that_works_is_asked_again_soon() -> None:
    concluded = put_off(new(deferrals=12), is_working=True)
    assert concluded.again is not None
    assert concluded.again.due_ms == NOW_MS + 64_000


def test_nothing_is_put_off_for_ever() -> None:
    concluded = put_off(new(queued_at_ms=NOW_MS - SCHEDULE.life_ms - 1))
    assert (concluded.outcome, concluded.again) == (Outcome.FAILED, None)
    assert concluded.row is not None


def test_what_is_skipped_can_be_found() -> None:
    concluded = skip(new(), b"{}", "paused", NOW_MS)
    assert concluded.again is None
    assert concluded.row is not None
    assert (concluded.row.outcome, concluded.row.error, concluded.row.payload) == ("skipped", "paused", "{}")
