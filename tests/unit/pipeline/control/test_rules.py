import hashlib
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.control import InvalidRecord, NewKey
from pipeline.control.records import record_of
from pipeline.control.rules import (
    SECRET_BITS,
    app_from_row,
    app_values,
    check_app,
    check_goal,
    format_secret,
    goal_values,
    key_from_row,
    secret_hash,
    shown_prefix,
)
from schemas.control import (
    DEFAULT_GOALS,
    App,
    AttributionSettings,
    ChannelRule,
    ChannelSettings,
    Counting,
    Goal,
    GoalCondition,
    Operator,
    Plan,
    Scope,
)
from schemas.facts import TouchType

random_bits = st.integers(min_value=0, max_value=2**SECRET_BITS - 1)


@given(random_bits)
def test_a_secret_is_a_prefix_and_32_letters_or_digits(bits):
    secret = format_secret(bits, is_test=False)
    assert secret.startswith("ak_live_")
    assert len(secret) == 40
    assert secret.isascii()
    assert secret.removeprefix("ak_live_").isalnum()


@given(random_bits, random_bits)
def test_different_randomness_gives_different_secrets(one, other):
    assert (format_secret(one, is_test=True) == format_secret(other, is_test=True)) == (one == other)


def test_a_test_key_says_so():
    assert format_secret(7, is_test=True).startswith("ak_test_")


def test_at_least_160_bits_are_random():
    assert SECRET_BITS >= 160
    assert 2**SECRET_BITS <= 62**32


def test_the_hash_is_plain_sha256():
    # FIPS 180-2, appendix B.1: the digest of "abc".
    assert secret_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_shown_prefix_gives_little_away():
    secret = format_secret(2**SECRET_BITS - 1, is_test=False)
    assert secret.startswith(shown_prefix(secret))
    assert len(shown_prefix(secret)) == 12


def test_a_new_key_does_not_print_its_secret():
    assert "ak_live_abc" not in repr(NewKey("key_1", "ak_live_abc"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"app_id": ""}, "app id"),
        ({"app_id": "Shop"}, "app id"),
        ({"app_id": "shop\n"}, "app id"),
        ({"app_id": "a" * 65}, "app id"),
        ({"name": ""}, "name"),
        ({"currency": "cny"}, "currency"),
        ({"currency": "RMB1"}, "currency"),
        ({"timezone": "Peking"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"history_limit_days": 0}, "history limit"),
        ({"goals": (Goal("Buy now", "x", "macro", "purchase"),)}, "goal name"),
    ],
)
def test_an_unacceptable_app_is_refused_by_field(change, named):
    with pytest.raises(InvalidRecord, match=named):
        check_app(replace(App("shop", "Shop"), **change))


@pytest.mark.parametrize(
    "goal",
    [
        Goal("ok", "x", "huge", "purchase"),
        Goal("ok", "x", "macro", "Purchase"),
        Goal("1st", "x", "macro", "purchase"),
        Goal("ok", "x" * 201, "macro", "purchase"),
        *(
            Goal("ok", "x", "macro", "purchase", conditions=(condition,))
            for condition in (
                GoalCondition("", Operator.EXISTS),
                GoalCondition("a", Operator.EXISTS, "yes"),
                GoalCondition("a", Operator.EQ),
                GoalCondition("a", Operator.GT, True),
                GoalCondition("a", Operator.CONTAINS, "x" * 1001),
                GoalCondition("a", Operator.EXISTS, 10**5_000),
            )
        ),
        Goal("ok", "x", "macro", "purchase", conditions=(GoalCondition("a", Operator.EXISTS),) * 21),
    ],
)
def test_an_unacceptable_goal_is_refused(goal):
    with pytest.raises(InvalidRecord):
        check_goal(goal)


@pytest.mark.parametrize(
    "number", [2**64, -(2**63) - 1, 10**400, 10**5_000, -(10**5_000), math.inf, math.nan], ids=range(7)
)
def test_a_number_of_a_condition_has_at_most_64_bits(number):
    with pytest.raises(InvalidRecord, match="at most 64 bits"):
        check_goal(Goal("ok", "x", "macro", "purchase", conditions=(GoalCondition("a", Operator.GT, number),)))


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 1.7e308, 0])
def test_a_number_of_64_bits_is_taken(number):
    check_goal(Goal("ok", "x", "macro", "purchase", conditions=(GoalCondition("a", Operator.GT, number),)))


@pytest.mark.parametrize("number", [10**4_400, -(10**4_400)], ids=["large", "small"])
def test_a_number_that_cannot_be_written_is_refused_as_endless(number):
    with pytest.raises(InvalidRecord, match=r"session gap -?inf is not acceptable"):
        check_app(App("shop", "Shop", attribution=AttributionSettings(session_gap_seconds=number)))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"session_gap_seconds": 0}, "session gap"),
        ({"allowed_lateness_seconds": -1}, "lateness"),
        ({"half_life_days": 0}, "half-life"),
        ({"half_life_days": math.nan}, "half-life"),
        ({"window_days": {TouchType.CLICK: -1}}, "window of click"),
        ({"position_weights": (0.5, -0.1, 0.6)}, "position weights"),
        ({"direct_touch": "never"}, "direct touch"),
    ],
)
def test_unacceptable_attribution_settings_are_refused(settings, named):
    with pytest.raises(InvalidRecord, match=named):
        check_app(App("shop", "Shop", attribution=AttributionSettings(**settings)))


def test_the_default_goals_are_acceptable():
    check_app(App("shop", "Shop", goals=DEFAULT_GOALS))


settings_strategy = st.builds(
    AttributionSettings,
    session_gap_seconds=st.integers(1, 10**6),
    window_days=st.dictionaries(st.sampled_from(TouchType), st.integers(0, 400)),
    half_life_days=st.floats(0.1, 400),
    position_weights=st.tuples(*[st.floats(0, 1)] * 3),
    direct_touch=st.sampled_from(["include", "fallback"]),
)


@given(settings_strategy, st.sampled_from(Plan))
def test_an_app_survives_its_row(attribution, plan):
    app = App("shop", "店", plan, "EUR", "UTC", 30, DEFAULT_GOALS, attribution)
    row = json.loads(json.dumps(app_values(app)))
    assert app_from_row(row, app.goals) == app


def test_an_older_row_gets_the_defaults_of_newer_settings():
    row = app_values(App("shop", "Shop")) | {"attribution": {"half_life_days": 3.0, "gone": 1}}
    assert app_from_row(row, ()).attribution == AttributionSettings(half_life_days=3.0)


@pytest.mark.parametrize(
    "goal",
    [
        *DEFAULT_GOALS,
        Goal("g", "", "macro", "e", (), (GoalCondition("a", Operator.LT, 1.5),), Counting.ONCE_PER_SESSION, 3),
        Goal("g", "", "macro", "e", (), (GoalCondition("a", Operator.EXISTS), GoalCondition("b", Operator.EQ, True))),
    ],
)
def test_a_goal_survives_its_row(goal):
    assert record_of(Goal, json.loads(json.dumps(goal_values("shop", goal, 0)))) == goal


@pytest.mark.parametrize(("revoked_at_ms", "is_revoked"), [(None, False), (0, True), (5, True)])
def test_a_key_read_back(revoked_at_ms, is_revoked):
    digest = hashlib.sha256(b"x").hexdigest()
    row = {"key_id": "k", "app_id": "a", "secret_sha256": digest, "scopes": ["read"], "revoked_at_ms": revoked_at_ms}
    key = key_from_row(row)
    assert key.is_revoked is is_revoked
    assert key.scopes == {Scope.READ}


@pytest.mark.parametrize(
    ("channels", "named"),
    [
        (ChannelSettings(own_domains=("https://shop.example",)), "own domain"),
        (ChannelSettings(ignored_referrers=("Shop.example",)), "ignored referrer"),
        (ChannelSettings(own_domains=tuple(f"d{n}.example" for n in range(101))), "number of own domains"),
        (ChannelSettings(rules=(ChannelRule("Bad name", "x", source="y"),)), "rule name"),
        (ChannelSettings(rules=(ChannelRule("ok", "Paid Social", source="y"),)), "channel"),
        (ChannelSettings(rules=(ChannelRule("ok", "x"),)), "rule"),
        (ChannelSettings(rules=(ChannelRule("ok", "x", source="*" * 11),)), "pattern"),
        (ChannelSettings(rules=(ChannelRule("ok", "x", source="y"),) * 2), "channel rules"),
    ],
)
def test_channel_settings_that_mean_nothing_are_refused_by_name(channels, named):
    with pytest.raises(InvalidRecord, match=named):
        check_app(App("shop", "Shop", attribution=AttributionSettings(channels=channels)))


def test_channel_settings_survive_the_row_and_older_rows_have_none():
    rule = ChannelRule("kol", "influencer", source="kol*", new_source="agency")
    channels = ChannelSettings(("shop.example",), ("survey.example",), (rule,))
    app = App("shop", "Shop", attribution=AttributionSettings(channels=channels))
    row = json.loads(json.dumps(app_values(app)))
    assert app_from_row(row, ()).attribution == app.attribution
    del row["attribution"]["channels"]
    assert app_from_row(row, ()).attribution == AttributionSettings()
