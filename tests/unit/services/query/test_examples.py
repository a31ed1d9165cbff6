"""The examples in the OpenAPI document are answers the service could give."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.query import answers, examples, report_answers

PAIRS: list[tuple[Any, Any]] = [
    (answers.EventList, examples.EVENT_LIST),
    (answers.RejectedList, examples.REJECTED_LIST),
    (answers.EventDetail, examples.EVENT_DETAIL),
    (answers.ConversionList, examples.CONVERSION_LIST),
    (answers.AttributionReport, examples.ATTRIBUTION),
    (answers.AttributionPath, examples.ATTRIBUTION_PATH),
    (answers.UserList, examples.USER_LIST),
    (answers.UserDetail, examples.USER_DETAIL),
    (report_answers.PerformanceReport, examples.PERFORMANCE),
    (report_answers.ConversionReport, examples.CONVERSION_REPORT),
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
