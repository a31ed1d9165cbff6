import pytest

from services.query.events.parameters import EventsParameters, properties_of
from services.web.errors import ApiError


def test_properties_are_taken_and_nothing_else() -> None:
    given = EventsParameters.model_validate({"property.a.b": "1", "property. ": ""})
    assert properties_of(given) == (("a.b", "1"), (" ", ""))
    with pytest.raises(ApiError) as caught:
        properties_of(EventsParameters.model_validate({"propertyx": "1"}))
    assert caught.value.field == "propertyx"
