import pytest

from pipeline.stream.guard import StallGuard, StoodStill


def test_a_process_that_stood_still_longer_than_its_session_stops() -> None:
    now = [0.0]
    guard = StallGuard(lambda: now[0], 20.0)
    for now[0] in (1.0, 20.0, 39.9):
        guard.check()
    now[0] = 60.0
    with pytest.raises(StoodStill, match=r"20\.1 s"):
        guard.check()
