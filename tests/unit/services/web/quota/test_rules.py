from datetime import UTC, datetime

import pytest

from schemas.control import App, Plan
from schemas.errors import ErrorCode
from services.web.errors import ApiError
from services.web.quota.rules import day_of, headers_of, is_limited, judge, second_of_validations

FREE = App("shop", "Shop", Plan.FREE)
PRO = App("shop", "Shop", Plan.PRO)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOON_MS = ms("2026-02-28T12:00:00")


@pytest.mark.parametrize(("plan", "limit"), [(Plan.FREE, 1_000), (Plan.PRO, 100_000)])
def test_the_limits_of_the_plans(plan: Plan, limit: int) -> None:
    app = App("shop", "Shop", plan)
    assert is_limited(app)
    assert day_of(app, NOON_MS).limit == limit


def test_enterprise_has_no_limit() -> None:
    assert not is_limited(App("shop", "Shop", Plan.ENTERPRISE))


@pytest.mark.parametrize(
    ("at", "name", "reset_seconds"),
    [
        ("2026-02-28T00:00:00.000", "requests/shop/2026-02-28", 86_400),
        ("2026-02-28T00:00:00.001", "requests/shop/2026-02-28", 86_400),
        ("2026-02-28T12:00:00.000", "requests/shop/2026-02-28", 43_200),
        ("2026-02-28T23:59:59.999", "requests/shop/2026-02-28", 1),
        ("2026-03-01T00:00:00.000", "requests/shop/2026-03-01", 86_400),
    ],
)
def test_a_day_is_a_utc_day(at: str, name: str, reset_seconds: int) -> None:
    window = day_of(FREE, ms(at))
    assert window.name == name
    assert window.reset_seconds(ms(at)) == reset_seconds


def test_another_plan_counts_on() -> None:
    assert day_of(FREE, NOON_MS).name == day_of(PRO, NOON_MS).name


def test_apps_and_purposes_have_counters_of_their_own() -> None:
    names = {day_of(FREE, NOON_MS).name, day_of(App("other", "", Plan.FREE), NOON_MS).name}
    assert len(names | {second_of_validations(FREE, NOON_MS).name}) == 3


def test_a_counter_outlives_its_window() -> None:
    assert day_of(FREE, NOON_MS).kept_seconds(NOON_MS) > 43_200


def test_a_second_of_validations() -> None:
    window = second_of_validations(FREE, NOON_MS + 400)
    assert window == second_of_validations(PRO, NOON_MS + 999)._replace(plan=Plan.FREE)
    assert window.name != second_of_validations(FREE, NOON_MS + 1_000).name
    assert window.reset_seconds(NOON_MS + 400) == 1


@pytest.mark.parametrize(("used", "remaining"), [(1, 999), (999, 1), (1_000, 0)])
def test_up_to_the_limit_a_request_passes(used: int, remaining: int) -> None:
    assert judge(day_of(FREE, NOON_MS), used, NOON_MS) == (
        (b"ratelimit-limit", b"1000"),
        (b"ratelimit-remaining", b"%d" % remaining),
        (b"ratelimit-reset", b"43200"),
    )


@pytest.mark.parametrize("used", [1_001, 5_000_000])
def test_past_the_limit_it_is_refused_and_told_when_to_come_back(used: int) -> None:
    window = day_of(FREE, NOON_MS)
    with pytest.raises(ApiError) as caught:
        judge(window, used, NOON_MS)
    assert caught.value.code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert caught.value.details == {"limit": 1_000, "plan": "free", "reset_at": "2026-03-01T00:00:00Z"}
    assert caught.value.headers == (*headers_of(window, used, NOON_MS), (b"retry-after", b"43200"))
    assert dict(caught.value.headers)[b"ratelimit-remaining"] == b"0"
