from typing import Any

import pytest

from schemas.control import App
from services.query.core.parameters import InRange, range_of
from services.query.core.times import TimeRange
from services.web.errors import ApiError

APP = App("alpha", "alpha", timezone="Asia/Tokyo")
HOUR_MS = 3_600_000


def ranged(**given: Any) -> TimeRange:
    return range_of(InRange.model_validate(given), APP)


def test_dates_are_meant_in_the_zone_asked_for_else_the_apps() -> None:
    assert ranged(**{"from": "1970-01-02"}).from_ms == 15 * HOUR_MS
    assert ranged(**{"from": "1970-01-02"}, tz="UTC").from_ms == 24 * HOUR_MS
    assert ranged() == TimeRange(None, None)


@pytest.mark.parametrize("pair", [("2024-01-02", "2024-01-01"), ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z")])
def test_an_empty_range_is_a_mistake(pair: tuple[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        ranged(**{"from": pair[0], "to": pair[1]})
    assert caught.value.field == "from"
