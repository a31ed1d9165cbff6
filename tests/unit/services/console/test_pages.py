"""What pages make of the API's answers before they show it: the account of the ledger, revisions, filters, fields."""

from datetime import date
from decimal import Decimal

import pytest
from starlette.datastructures import QueryParams

from pipeline.domain.attribution.models import SHARE_REASONS
from pipeline.domain.channels.tables import Channel
from schemas.facts import Model, Reason, TouchType
from services.console import words
from services.console.i18n.formats import Formats
from services.console.pages.conversions import differences_of
from services.console.pages.overview import days_of
from services.console.pages.performance import cells_of
from services.console.pages.system import balance_of
from services.console.report_filters import filters_of

TODAY = date(2026, 11, 28)


def test_every_channel_model_reason_and_kind_has_a_name() -> None:
    assert set(words.CHANNELS) == set(Channel)
    assert set(words.MODELS) == set(Model)
    assert set(words.SHARE_REASONS) == set(SHARE_REASONS)
    assert set(words.REVISION_REASONS) == set(Reason)
    assert set(words.TOUCH_TYPES) == set(TouchType)


def test_a_page_without_dates_shows_the_last_28_days() -> None:
    found = filters_of(QueryParams(""), TODAY)
    assert (found.start, found.end, found.days) == ("2026-11-01", "2026-11-28", 28)
    assert found.parameters() == {"from": "2026-11-01", "to": "2026-11-28", "goal": None, "include_bots": None}


@pytest.mark.parametrize("given", ["model=best", "dimension=person", "include_bots=yes", "goal=&from="])
def test_what_is_none_of_the_choices_is_as_if_not_given(given: str) -> None:
    assert filters_of(QueryParams(given), TODAY) == filters_of(QueryParams(""), TODAY)


def test_a_text_that_is_no_date_is_handed_on() -> None:
    found = filters_of(QueryParams("from=yesterday&to=2026-11-28"), TODAY)
    assert (found.parameters()["from"], found.days) == ("yesterday", None)


def test_days_of_a_period_whose_clock_changes() -> None:
    period = {"from": "2026-10-24T00:00:00.000+02:00", "to": "2026-10-26T00:00:00.000+01:00"}
    assert days_of(period) == ["2026-10-24", "2026-10-25"]


def test_the_account_of_an_app_is_of_that_app_alone() -> None:
    def row(app_id: str, count: int) -> dict[str, object]:
        return {"app_id": app_id, "hour": 1, "place": 0, "count": count}

    counts = {"acknowledged": [row("a", 10), row("b", 3)], "stored": [row("a", 7), row("a", 2), row("b", 2)]}
    found = balance_of({**counts, "duplicates": [row("a", 1)], "rejected": [], "late": [row("b", 1)]})
    assert [(one["app_id"], one["acknowledged"], one["missing"], one["late"]) for one in found] == [
        ("a", 10, 0, 0),
        ("b", 3, 1, 1),
    ]


def test_a_revision_says_what_it_changed() -> None:
    first = {"revision": 1, "touch_ids": ["t1", "t2"], "value": 10}
    second = {"revision": 2, "touch_ids": ["t2", "t3"], "value": 8}
    newest, oldest = differences_of([second, first])
    assert (newest["added"], newest["removed"], newest["value_before"]) == (["t3"], ["t1"], 10)
    assert (oldest["added"], oldest["removed"], oldest["value_before"]) == ([], [], None)


def test_cells_of_models_beside_a_base() -> None:
    credit = {model.value: {"credited_conversions": 2} for model in Model} | {"linear": {"credited_conversions": 4}}
    totals = {model.value: 8 for model in Model}
    shares = cells_of({"models": credit}, "credited_conversions", "linear", totals, "share")
    by_model = dict(zip((model.value for model in Model), shares, strict=True))
    assert by_model["linear"] == (0.5, None)
    assert by_model["last_click"] == (0.25, -0.5)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0s"), (59, "59s"), (187, "3m 7s"), (86_400, "1d"), (90_061, "1d 1h"), (None, "–")]
)
def test_durations(seconds: int | None, shown: str) -> None:
    assert Formats("en").duration(seconds) == shown


def test_a_duration_in_chinese() -> None:
    assert Formats("zh").duration(90_061) == "1 天 1 小时"


@pytest.mark.parametrize(
    ("credit", "shown"), [(37, "37"), (Decimal("37.2"), "37.20"), (Decimal("1234.567"), "1,234.57")]
)
def test_split_credit_has_two_digits_so_that_points_stand_below_each_other(credit: Decimal, shown: str) -> None:
    assert Formats("en").credit(credit) == shown


def test_money_never_stands_without_its_currency() -> None:
    assert Formats("en").money(1234.5, "CNY") == "CN¥1,234.50"
    assert Formats("zh").money(1234.5, "CNY") == "¥1,234.50"
    assert Formats("en").money(1234, "JPY") == "¥1,234"
    assert Formats("en").money(None, "CNY") == "–"
