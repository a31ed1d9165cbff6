"""The ledger must notice every way in which a run can fail to add up."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from deploy.demo.generator import Truth
from deploy.demo.ledger import Credited, Observed, checks
from deploy.demo.poster import Posted
from schemas.facts import Model

REJECTED = Counter({"INVALID_EVENT_NAME": 3, "INVALID_PARAMETER": 2})
GOALS = Counter({"purchase": 4, "user_signup": 1})
WHOLE = Credited(Decimal(5), 9_990)
BY_MODEL = dict.fromkeys(Model, WHOLE)
TRUTH = Truth(115, 100, 10, 2, REJECTED, GOALS, 9_990, links=6, people=30)
POSTED = Posted(requests=9, sent=115, accepted=107, duplicates=3, rejected=REJECTED)
OBSERVED = Observed(107, 100, 7, 2, REJECTED, GOALS, 9_990, 5, (), BY_MODEL, BY_MODEL, BY_MODEL, 6, 30)


def failures(posted: Posted = POSTED, observed: Observed = OBSERVED) -> list[str]:
    return [check.name for check in checks(TRUTH, posted, observed) if not check.holds]


def test_a_run_that_adds_up() -> None:
    assert failures() == []


def less(by: dict[Model, Credited], model: Model) -> dict[Model, Credited]:
    return by | {model: Credited(WHOLE.conversions - Decimal("0.000000001"), WHOLE.value_minor)}


@pytest.mark.parametrize(
    "change",
    [
        {"topic_lines": 106},
        {"topic_lines": 108},
        {"stored": 99},
        {"stored": 101},
        {"stored": 99, "duplicates": 8},
        {"duplicates": 8},
        {"late": 1},
        {"rejected": Counter({"INVALID_EVENT_NAME": 5})},
        {"conversions": Counter({"purchase": 5})},
        {"value_minor": 9_991},
        {"attributions": 4},
        {"unbalanced": ("cnv_1",)},
        {"credited": less(BY_MODEL, Model.LINEAR)},
        {"reported": less(BY_MODEL, Model.TIME_DECAY)},
        {"added_up": less(BY_MODEL, Model.LAST_CLICK)},
        {"reported": {}},
        {"links": 5},
        {"people": 31},
        {"strays": 1},
    ],
)
def test_whatever_is_stored_otherwise_is_noticed(change: dict[str, Any]) -> None:
    assert failures(observed=replace(OBSERVED, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"sent": 114},
        {"accepted": 106},
        {"duplicates": 2},
        {"rejected": Counter({"INVALID_EVENT_NAME": 5})},
        {"surprises": ["evt: rejected"]},
    ],
)
def test_whatever_is_answered_otherwise_is_noticed(change: dict[str, Any]) -> None:
    assert failures(posted=replace(POSTED, **change))


def test_what_was_sent_again_may_be_in_the_topic_twice_but_is_stored_once() -> None:
    again = replace(POSTED, retries=1)
    assert failures(again, replace(OBSERVED, topic_lines=110, duplicates=10)) == []
    assert failures(again, replace(OBSERVED, topic_lines=110, stored=103)) != []
    assert failures(again, replace(OBSERVED, topic_lines=106, duplicates=6)) != []
