"""The models: the documentation's own example, the edges, and exact sums."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.attribution.models import SHARE_REASONS, credit_path, reasons, weigh
from pipeline.domain.rules import DAY_MS, AppRules, compile_rules
from pipeline.domain.state import Touch
from schemas.control import App, AttributionSettings
from schemas.facts import Model
from schemas.money import MAX_MINOR

RULES = compile_rules(App("shop", "Shop"))
FALLBACK = compile_rules(App("shop", "Shop", attribution=AttributionSettings(direct_touch="fallback")))
AT_MS = 1_800_000_000_000
B = 10**9


def touch(days_before: float, touch_type: str = "click", channel: str = "feed", touch_id: str = "t") -> Touch:
    return Touch(AT_MS - int(days_before * DAY_MS), touch_id, touch_type, channel, "", "", "")


SEARCH_AD = touch(14, channel="paid_search")
FEED_AD = touch(7, channel="feed")
DIRECT = touch(0, "visit", "direct")
ORGANIC = touch(3, "visit", "organic_search")
IMPRESSION = touch(1, "impression", "display")


def credits_of(model: Model, *path: Touch, rules: AppRules = RULES) -> list[int]:
    return credit_path(path, 0, rules)[0][model]


def test_the_documentations_example() -> None:
    credits_nanos, values_minor = credit_path([SEARCH_AD, FEED_AD, DIRECT], 10_000, RULES)
    assert credits_nanos == {
        "last_click": [0, B, 0],
        "first_click": [B, 0, 0],
        "linear": [333_333_333, 333_333_333, 333_333_334],
        "time_decay": [142_857_143, 285_714_286, 571_428_571],  # 1 : 2 : 4, a half-life apart
        "position_based": [400_000_000, 200_000_000, 400_000_000],
        "last_non_direct": [0, B, 0],
    }
    assert values_minor == {
        "last_click": [0, 10_000, 0],
        "first_click": [10_000, 0, 0],
        "linear": [3333, 3333, 3334],
        "time_decay": [1429, 2857, 5714],
        "position_based": [4000, 2000, 4000],
        "last_non_direct": [0, 10_000, 0],
    }


@pytest.mark.parametrize(
    ("path", "last", "first"),
    [
        ([DIRECT], [B], [B]),
        ([ORGANIC, DIRECT], [B, 0], [B, 0]),
        ([SEARCH_AD, ORGANIC, DIRECT], [B, 0, 0], [B, 0, 0]),
        ([SEARCH_AD, FEED_AD, ORGANIC], [0, B, 0], [B, 0, 0]),
        ([ORGANIC, IMPRESSION, DIRECT], [0, B, 0], [B, 0, 0]),
        ([touch(5, "visit", "direct"), DIRECT], [0, B], [B, 0]),
    ],
)
def test_click_models_take_clicks_then_anything_but_direct_then_direct(
    path: list[Touch], last: list[int], first: list[int]
) -> None:
    assert credits_of(Model.LAST_CLICK, *path) == last
    assert credits_of(Model.FIRST_CLICK, *path) == first


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([DIRECT], [B]),
        ([ORGANIC, DIRECT], [B, 0]),
        ([SEARCH_AD, ORGANIC, DIRECT], [0, B, 0]),
        ([SEARCH_AD, IMPRESSION, DIRECT], [0, B, 0]),
        ([DIRECT, SEARCH_AD], [0, B]),
        ([touch(5, "visit", "direct"), DIRECT], [0, B]),
    ],
)
def test_last_non_direct_takes_the_last_touch_of_any_type(path: list[Touch], expected: list[int]) -> None:
    assert credits_of(Model.LAST_NON_DIRECT, *path) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [B]),
        (2, [B // 2, B // 2]),
        (3, [400_000_000, 200_000_000, 400_000_000]),
        (4, [400_000_000, 100_000_000, 100_000_000, 400_000_000]),
        (5, [400_000_000, 66_666_666, 66_666_667, 66_666_667, 400_000_000]),
    ],
)
def test_position_based(count: int, expected: list[int]) -> None:
    assert credits_of(Model.POSITION_BASED, *[touch(10 - i) for i in range(count)]) == expected


@pytest.mark.parametrize(
    ("weights", "count", "expected"),
    [
        ((0.3, 0.3, 0.4), 3, [300_000_000, 300_000_000, 400_000_000]),
        ((1.0, 0.0, 0.0), 3, [B, 0, 0]),
        ((0.1, 0.8, 0.3), 2, [250_000_000, 750_000_000]),
        ((0.0, 1.0, 0.0), 2, [B // 2, B // 2]),
        ((0.0, 0.0, 0.0), 3, [333_333_333, 333_333_333, 333_333_334]),
    ],
)
def test_position_weights_of_the_app(weights: tuple[float, float, float], count: int, expected: list[int]) -> None:
    rules = compile_rules(App("shop", "Shop", attribution=AttributionSettings(position_weights=weights)))
    assert credits_of(Model.POSITION_BASED, *[touch(10 - i) for i in range(count)], rules=rules) == expected


def test_time_decay_halves_every_half_life_and_never_loses_the_newest() -> None:
    assert credits_of(Model.TIME_DECAY, touch(8), touch(1)) == [333_333_333, 666_666_667]
    fast = replace(RULES, half_life_ms=1.0)
    assert credits_of(Model.TIME_DECAY, touch(20), touch(10), rules=fast) == [0, B]


def test_direct_as_a_fallback_gets_credit_only_where_nothing_else_is() -> None:
    for model in (Model.LINEAR, Model.TIME_DECAY, Model.POSITION_BASED):
        assert credits_of(model, SEARCH_AD, DIRECT, rules=FALLBACK) == [B, 0]
        assert credits_of(model, DIRECT, rules=FALLBACK) == [B]
    assert credits_of(Model.POSITION_BASED, SEARCH_AD, FEED_AD, DIRECT, rules=FALLBACK) == [B // 2, B // 2, 0]


paths = st.lists(
    st.builds(
        touch,
        st.floats(0, 60),
        st.sampled_from(["click", "impression", "view", "visit"]),
        st.sampled_from(["paid_search", "feed", "organic_search", "direct"]),
    ),
    min_size=1,
    max_size=100,
)
rule_books = st.builds(
    lambda half_life_ms, is_direct_fallback: replace(
        RULES, half_life_ms=half_life_ms, is_direct_fallback=is_direct_fallback
    ),
    st.floats(1, 365 * DAY_MS),
    st.booleans(),
)


@given(paths, st.integers(0, MAX_MINOR), rule_books)
def test_credits_sum_to_one_and_values_to_the_value(path: list[Touch], value_minor: int, rules: AppRules) -> None:
    path.sort(key=lambda found: found.at_ms)
    credits_nanos, values_minor = credit_path(path, value_minor, rules)
    assert credits_nanos.keys() == values_minor.keys() == set(Model)
    for model in Model:
        assert sum(credits_nanos[model]) == B
        assert sum(values_minor[model]) == value_minor
        assert min(credits_nanos[model]) >= 0
        assert min(values_minor[model]) >= 0
        assert len(credits_nanos[model]) == len(values_minor[model]) == len(path)


@given(paths, rule_books)
def test_nearer_touches_never_weigh_less_in_time_decay(path: list[Touch], rules: AppRules) -> None:
    path = sorted(path, key=lambda found: found.at_ms)
    weights = [weight for weight in weigh(path, rules)[Model.TIME_DECAY] if weight]
    assert weights == sorted(weights)


def test_every_touch_has_a_reason_under_every_model() -> None:
    assert reasons([SEARCH_AD, ORGANIC, FEED_AD, DIRECT], is_direct_fallback=True) == {
        "last_click": ["not_last", "no_click", "last_click", "no_click"],
        "first_click": ["first_click", "no_click", "not_first", "no_click"],
        "linear": ["equal", "equal", "equal", "direct"],
        "time_decay": ["by_age", "by_age", "by_age", "direct"],
        "position_based": ["first", "middle", "last", "direct"],
        "last_non_direct": ["not_last", "not_last", "last_non_direct", "direct"],
    }
    assert reasons([ORGANIC, DIRECT], is_direct_fallback=False)["last_click"] == ["last_non_direct", "direct"]
    assert reasons([DIRECT], is_direct_fallback=True)["first_click"] == ["first_touch"]


@given(paths, rule_books)
def test_reasons_are_words_and_agree_with_the_weights(path: list[Touch], rules: AppRules) -> None:
    path.sort(key=lambda found: found.at_ms)
    weights = weigh(path, rules)
    for model, words in reasons(path, rules.is_direct_fallback).items():
        assert set(words) <= SHARE_REASONS.keys()
        for weight, word in zip(weights[model], words, strict=True):
            assert not weight or word not in ("direct", "no_click", "not_last", "not_first")
            assert weight or not word.startswith(("last_", "first_"))
