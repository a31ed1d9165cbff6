"""The examples in the OpenAPI document are answers the service could give."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.query.alerts import answers as alerts
from services.query.attribution import answers as attribution
from services.query.conversions import answers as conversions
from services.query.costs import answers as costs
from services.query.deliveries import answers as deliveries
from services.query.events import answers as events
from services.query.rejected import answers as rejected
from services.query.reports.conversion import answers as conversion_report
from services.query.reports.performance import answers as performance_report
from services.query.users import answers as users

PAIRS: list[tuple[Any, Any]] = [
    (alerts.AlertList, alerts.EXAMPLE_LIST),
    (attribution.AttributionReport, attribution.EXAMPLE),
    (attribution.AttributionPath, attribution.EXAMPLE_PATH),
    (conversions.ConversionList, conversions.EXAMPLE_LIST),
    (costs.CostList, costs.EXAMPLE_LIST),
    (deliveries.DeliveryList, deliveries.EXAMPLE_LIST),
    (deliveries.DeliveryDetail, deliveries.EXAMPLE_DETAIL),
    (events.EventList, events.EXAMPLE_LIST),
    (events.EventDetail, events.EXAMPLE_DETAIL),
    (rejected.RejectedList, rejected.EXAMPLE_LIST),
    (conversion_report.ConversionReport, conversion_report.EXAMPLE),
    (performance_report.PerformanceReport, performance_report.EXAMPLE),
    (users.UserList, users.EXAMPLE_LIST),
    (users.UserDetail, users.EXAMPLE_DETAIL),
]


@pytest.mark.parametrize(("model", "example"), PAIRS, ids=lambda value: getattr(value, "__name__", ""))
def test_an_example_fits_its_model(model: Any, example: dict[str, Any]) -> None:
    adapter = TypeAdapter(model)
    adapter.validate_python(example, extra="forbid")
    with pytest.raises(ValidationError):
        adapter.validate_python({**example, "surplus": 1}, extra="forbid")
    for name in example:
        with pytest.raises(ValidationError):
            adapter.validate_python({key: value for key, value in example.items() if key != name})
