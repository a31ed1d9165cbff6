import pytest

from schemas.facts import Model
from services.query.aggregates.parameters import models_of
from services.query.attribution.parameters import AttributionParameters


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
    assert models_of(given) == wanted


def test_models_may_be_separated_by_commas() -> None:
    given = AttributionParameters.model_validate({"model": ["linear,last_click", "time_decay"]})
    assert given.model == ("linear", "last_click", "time_decay")
