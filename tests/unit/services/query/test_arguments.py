from decimal import Decimal
from typing import Any

import pytest

from pipeline.runtime.http.errors import ApiError
from schemas.control import App
from schemas.facts import Model
from services.query import arguments
from services.query.parameters import AttributionParameters, ConversionsParameters, EventsParameters, InRange
from services.query.times import TimeRange

APP = App("alpha", "alpha", currency="JPY", timezone="Asia/Tokyo")
HOUR_MS = 3_600_000


def ranged(**given: Any) -> TimeRange:
    return arguments.range_of(InRange.model_validate(given), APP)


def test_dates_are_meant_in_the_zone_asked_for_else_the_apps() -> None:
    assert ranged(**{"from": "1970-01-02"}).from_ms == 15 * HOUR_MS
    assert ranged(**{"from": "1970-01-02"}, tz="UTC").from_ms == 24 * HOUR_MS
    assert ranged() == TimeRange(None, None)


@pytest.mark.parametrize("pair", [("2024-01-02", "2024-01-01"), ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z")])
def test_an_empty_range_is_a_mistake(pair: tuple[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        ranged(**{"from": pair[0], "to": pair[1]})
    assert caught.value.field == "from"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((), tuple(Model)),
        (("all",), tuple(Model)),
        (("all", "linear"), tuple(Model)),
        (("time_decay", "linear", "linear"), (Model.LINEAR, Model.TIME_DECAY)),
    ],
)
def test_models(given: tuple[str, ...], wanted: tuple[Model, ...]) -> None:
    assert arguments.models_of(given) == wanted


def test_models_may_be_separated_by_commas() -> None:
    given = AttributionParameters.model_validate({"model": ["linear,last_click", "time_decay"]})
    assert given.model == ("linear", "last_click", "time_decay")


def test_a_least_value_is_meant_in_one_currency() -> None:
    wanted = arguments.conversion_filter(ConversionsParameters(min_value=Decimal(5)), APP)
    assert (wanted.currency, wanted.min_value) == ("JPY", 5)
    assert arguments.conversion_filter(ConversionsParameters(), APP).currency is None
    assert (
        arguments.conversion_filter(ConversionsParameters(min_value=Decimal(5), currency="USD"), APP).currency == "USD"
    )


def test_properties_are_taken_and_nothing_else() -> None:
    given = EventsParameters.model_validate({"property.a.b": "1", "property. ": ""})
    assert arguments.properties_of(given) == (("a.b", "1"), (" ", ""))
    with pytest.raises(ApiError) as caught:
        arguments.properties_of(EventsParameters.model_validate({"propertyx": "1"}))
    assert caught.value.field == "propertyx"
