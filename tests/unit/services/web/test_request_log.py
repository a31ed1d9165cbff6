import pytest
from structlog.testing import capture_logs

from services.web import request_log
from services.web.request_log import OTHERS_A_SECOND, REFUSALS_A_SECOND, RequestLog, Sampler


def test_a_second_has_room_for_so_many_and_the_next_line_says_how_many_were_left_out() -> None:
    sampler = Sampler(2)
    assert [sampler.take(7.0), sampler.take(7.1), sampler.take(7.9), sampler.take(7.99)] == [0, 0, None, None]
    assert [sampler.take(8.0), sampler.take(8.0), sampler.take(8.0)] == [2, 0, None]
    assert sampler.take(20.0) == 1


def test_under_load_every_5xx_has_its_line_and_successes_do_not_crowd_out_refusals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_log, "monotonic_seconds", lambda: 5.0)
    log = RequestLog()
    with capture_logs() as lines:
        for number in range(1_000):
            log.note(f"ok-{number}", 201)
            log.note(f"gone-{number}", 404)
            log.note(f"down-{number}", 500)
    statuses = [line["status"] for line in lines]
    assert (statuses.count(201), statuses.count(404), statuses.count(500)) == (OTHERS_A_SECOND, REFUSALS_A_SECOND, 1000)
    assert {line["request_id"] for line in lines if line["status"] == 500} == {f"down-{n}" for n in range(1_000)}
