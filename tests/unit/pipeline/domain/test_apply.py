"""Stories: what a person does becomes touches and conversions, within bounds and in time."""

from base64 import b85decode
from typing import Any

import msgspec
import pytest
from stories import AD, BAIDU, DAY, HOUR, SITE, START_MS, MakePerson

from pipeline.domain import state as limits
from pipeline.domain.apply import has_unpublished, is_expired, next_timer_ms
from pipeline.domain.rules import compile_rules
from pipeline.domain.state import decode_state, encode_state, new_state
from schemas.control import DEFAULT_GOALS, App, AttributionSettings

# Touches


def test_an_unpaid_arrival_is_one_visit(person: Any) -> None:
    person.does("page_view", 0, page_url=SITE + "/", referrer=BAIDU)
    person.does("page_view", 5, page_url=SITE + "/p", referrer="https://www.zhihu.com/")
    (touch,) = person.touches()
    assert (touch.touch_id, touch.touch_type, touch.channel, touch.source) == ("e0", "visit", "organic_search", "baidu")
    assert touch.session_id == person.sessions()[0].session_id


def test_a_paid_click_in_mid_session_is_a_touch_of_its_own(person: Any) -> None:
    person.does("page_view", 0, page_url=SITE + "/", referrer=BAIDU)
    person.does("page_view", 20, page_url=AD)
    person.does("page_view", 21, page_url=AD)
    assert [(row.touch_type, row.channel) for row in person.touches()] == [
        ("visit", "organic_search"),
        ("click", "paid_search"),
    ]
    assert person.sessions()[0].channel == "organic_search"


def test_the_first_of_the_same_campaign_in_a_session_is_the_touch_in_any_order(person: Any) -> None:
    person.does("page_view", 10, "later", page_url=AD)
    person.does("page_view", 5, "first", page_url=AD)
    person.does("page_view", 50, "next session", page_url=AD)
    assert [row.touch_id for row in person.touches()] == ["first", "next session"]
    assert [row.is_deleted for row in person.effects.touches if row.touch_id == "later"] == [False, True]


def test_an_impression_is_no_arrival(person: Any) -> None:
    person.does(
        "ad_impression", 0, properties={"channel": "display", "campaign": "x"}, page_url="https://news.example/"
    )
    (row,) = person.sessions()
    assert (row.channel, row.entry_page, [t.touch_type for t in person.touches()]) == ("display", "", ["impression"])
    person.does("page_view", 5, page_url=SITE + "/")
    (row,) = person.sessions()
    assert (row.channel, row.entry_page, row.events) == ("direct", SITE + "/", 2)
    assert [t.touch_type for t in person.touches()] == ["impression", "visit"]


def test_a_page_tells_more_about_the_arrival_than_a_backends_event_before_it(person: Any) -> None:
    person.does("login", 0)
    assert person.touches() == []
    person.does("page_view", 1, page_url=SITE + "/", referrer=BAIDU)
    assert [(row.touch_id, row.channel) for row in person.touches()] == [("e1", "organic_search")]


@pytest.mark.parametrize(
    ("name", "fields"),
    [("page_view", {}), ("screen_view", {}), ("search", {"properties": {"screen_name": "Home"}})],
)
def test_a_page_or_screen_that_says_nothing_more_is_a_direct_visit(person: Any, name: str, fields: Any) -> None:
    person.does("login", 0)
    person.does(name, 1, "seen", **fields)
    assert [(row.touch_id, row.channel) for row in person.touches()] == [("seen", "direct")]
    assert [row.channel for row in person.sessions()] == ["direct"]


def test_a_backends_events_are_no_visit_and_take_no_credit(person: Any) -> None:
    person.does("page_view", 0, "ad", page_url=AD)
    person.buys(2 * DAY, "bought", 100, order_id="o1")
    person.does("refund", 3 * DAY, properties={"order_id": "o1"})
    person.buys(4 * DAY, "again", 50)
    assert [row.touch_id for row in person.touches()] == ["ad"]
    assert [(row.channel, row.is_bounce) for row in person.sessions()] == [("paid_search", True)] + 3 * [("", False)]
    for row in person.attributions():
        assert row.touch_ids == ["ad"]
        assert all(credits == [1_000_000_000] for credits in row.credits_nanos.values())


def test_a_conversion_of_no_visit_follows_its_session_to_another_id(person: Any) -> None:
    person.buys(10, "bought", 100)
    person.does("login", 5)
    (session,) = person.sessions()
    assert [row.session_id for row in person.conversions()] == [session.session_id]
    assert [row.revision for row in person.attributions()] == [1]


def test_an_ad_click_before_the_landing_page_is_the_arrival(person: Any) -> None:
    person.does("ad_click", 0, properties={"channel": "feed"})
    person.does("page_view", 0.1, page_url=SITE + "/")
    assert [(row.touch_type, row.channel) for row in person.touches()] == [("click", "feed")]
    assert person.sessions()[0].channel == "feed"


# Conversions


def test_the_documentations_example(person: Any) -> None:
    person.does("ad_click", 0, properties={"channel": "search_ad"})
    person.does("ad_click", 3 * DAY, properties={"channel": "feed_ad"})
    person.does("page_view", 5 * DAY, page_url=SITE + "/")
    person.does("purchase", 5 * DAY + 10, properties={"revenue": 300, "order_id": "o1"})
    (row,) = person.attributions()
    assert row.channels == ["search_ad", "feed_ad", "direct"]
    assert (row.reason, row.revision, row.value_minor, row.currency) == ("initial", 1, 30_000, "CNY")
    assert row.values_minor["last_click"] == [0, 30_000, 0]
    assert row.values_minor["first_click"] == [30_000, 0, 0]
    assert row.values_minor["linear"] == [10_000, 10_000, 10_000]
    assert row.values_minor["position_based"] == [12_000, 6_000, 12_000]
    decay = row.credits_nanos["time_decay"]
    assert decay == sorted(decay)
    (conversion,) = person.conversions()
    assert (conversion.path_channels, conversion.order_id) == (row.channels, "o1")
    assert conversion.session_id == person.sessions()[-1].session_id


def test_the_conversions_own_page_is_in_its_path(person: Any) -> None:
    person.does("form_submitted", 0, page_url=AD)
    assert person.attributions()[0].touch_ids == ["e0"]


def test_nothing_known_is_credited_to_direct(make_person: MakePerson) -> None:
    person = make_person(window_days={})
    person.does("purchase", 0, properties={"revenue": 5})
    (row,) = person.attributions()
    assert (row.channels, row.touch_ids, row.touch_types, row.touched_at_ms) == (
        ["direct"],
        [""],
        ["visit"],
        [START_MS],
    )
    assert set(map(tuple, row.values_minor.values())) == {(500,)}
    assert person.conversions()[0].path_touch_ids == []


def test_a_touch_counts_up_to_the_age_of_its_window(person: Any) -> None:
    for name in ("ad_click", "ad_view", "ad_impression"):
        person.does(name, 0, properties={"channel": name})
    for day, channels in ((1, 3), (3, 2), (30, 1)):
        person.does("purchase", day * DAY, f"p{day}")
        person.does("purchase", day * DAY + 1, f"q{day}")
        first, second = person.effects.conversions[-2:]
        assert len([found for found in first.path_channels if found.startswith("ad_")]) == channels
        assert len([found for found in second.path_channels if found.startswith("ad_")]) == channels - 1


def test_an_impression_and_its_click_are_one_touch_of_a_path_and_two_rows(person: Any) -> None:
    ad = {"channel": "feed", "campaign": "x"}
    person.does("ad_impression", 0, "i", properties=ad)
    person.does("purchase", 1, "p1")
    person.does("ad_click", 2, "c", properties=ad)
    person.does("purchase", 3, "p2")
    assert [row.touch_id for row in person.touches()] == ["i", "c"]
    assert [row.path_touch_ids for row in person.effects.conversions[-1:]] == [["c"]]


def test_a_late_touch_restates_what_came_after_it(person: Any) -> None:
    person.does("page_view", 0, page_url=SITE + "/")
    person.does("purchase", 200, "before")
    person.does("purchase", 600, "after")
    person.does("ad_click", 300, "ad", properties={"channel": "feed"})
    rows = {row.conversion_id: row for row in person.attributions()}
    by_event = {row.event_id: row for row in person.conversions()}
    after, before = (rows[by_event[name].conversion_id] for name in ("after", "before"))
    assert (after.revision, after.reason) == (2, "late_touch")
    assert after.touch_ids == by_event["after"].path_touch_ids == ["e0", "ad"]
    assert (before.revision, before.reason) == (1, "initial")
    assert by_event["after"].revision > by_event["before"].revision


def test_a_late_event_that_changes_no_path_changes_no_credit(person: Any) -> None:
    person.does("page_view", 0, page_url=SITE + "/")
    person.does("purchase", 5)
    person.does("page_view", 2, page_url=SITE + "/p")
    person.does("page_view", 10, page_url=AD)
    assert len(person.effects.attributions) == 1
    assert len(person.effects.conversions) == 1


def test_a_conversion_follows_its_session_to_another_id(person: Any) -> None:
    person.does("page_view", 10, page_url=AD)
    person.does("purchase", 11)
    person.does("scroll", 5)
    assert [row.session_id for row in person.conversions()] == [person.sessions()[0].session_id]
    assert [row.session_id for row in person.touches()] == [person.sessions()[0].session_id]
    assert len(person.effects.attributions) == 1


# Bounds


def test_a_path_has_the_first_click_and_the_newest_repeats_of_it(person: Any) -> None:
    for number in range(limits.MAX_TOUCHES + 20):
        person.does("ad_click", number * 5 * HOUR, properties={"channel": "feed"})
        person.publish()
    assert len(person.state.touches) <= limits.MAX_TOUCHES
    person.rules.window_ms["click"] = 10**15
    person.does("purchase", number * 5 * HOUR + 1)
    (row,) = person.conversions()
    assert row.path_touch_ids == ["e0", *(f"e{i}" for i in range(21, 120))]


def test_a_hundred_direct_visits_do_not_push_out_the_ad(person: Any) -> None:
    person.does("page_view", 0, "ad", page_url=AD)
    for number in range(104):
        person.does("page_view", 6 * HOUR * (number + 1), f"d{number:03}", page_url=SITE + "/")
        person.publish()
    assert len(person.state.touches) <= limits.MAX_TOUCHES
    person.buys(26 * DAY + 6 * HOUR, "bought", 100)
    (row,) = person.attributions()
    assert row.touch_ids == ["ad", "d000", *(f"d{number:03}" for number in range(6, 104))]
    for model in ("last_click", "first_click", "last_non_direct"):
        assert row.credits_nanos[model][0] == 10**9


def test_a_session_keeps_its_first_hundred_campaigns_in_any_order(person: Any) -> None:
    for number in reversed(range(150)):
        person.does("ad_click", number / 100, f"c{number:03}", properties={"channel": "feed", "campaign": str(number)})
    assert [row.touch_id for row in person.touches()] == [f"c{i:03}" for i in range(100)]


def test_conversions_kept_are_capped_and_aged(person: Any) -> None:
    for number in range(limits.MAX_CONVERSIONS + 5):
        person.does("purchase", number / 100)
    assert len(person.state.conversions) == limits.MAX_CONVERSIONS
    assert person.sessions()[0].conversions == limits.MAX_CONVERSIONS + 5
    person.does("page_view", 40 * DAY)
    person.publish()
    assert person.state.conversions == []


def test_sums_of_value_stay_within_64_bits(person: Any) -> None:
    for number in range(95):
        person.does("purchase", number / 100, properties={"revenue": 10**15})
    assert person.sessions()[0].values_minor == {"CNY": limits.MAX_SUM_MINOR}
    decode_state(encode_state(person.state))


# Timers and expiry


def test_timers_lead_from_closing_to_expiry_to_nothing(person: Any) -> None:
    assert next_timer_ms(new_state(), person.rules) is None
    person.does("page_view", 0)
    person.does("page_view", 100)
    assert next_timer_ms(person.state, person.rules) == START_MS + 30 * 60_000
    person.publish(30)
    assert next_timer_ms(person.state, person.rules) == START_MS + 130 * 60_000
    person.publish(130)
    expiry_ms = next_timer_ms(person.state, person.rules)
    assert expiry_ms >= START_MS + 31 * 86_400_000
    person.publish(10 * DAY)
    assert next_timer_ms(person.state, person.rules) == expiry_ms
    assert not is_expired(person.state, person.rules, expiry_ms - 1)
    assert is_expired(person.state, person.rules, expiry_ms)


def test_a_state_with_rows_owed_is_not_expired(person: Any) -> None:
    person.does("page_view", 0)
    far_ms = START_MS + 400 * 86_400_000
    assert not is_expired(person.state, person.rules, far_ms)
    person.publish(1)
    assert not is_expired(person.state, person.rules, far_ms)
    person.publish(400 * DAY)
    assert is_expired(person.state, person.rules, far_ms)


def test_unpublished_survives_storing(person: Any) -> None:
    person.does("page_view", 0)
    assert has_unpublished(decode_state(encode_state(person.state)))
    person.publish()
    assert not has_unpublished(decode_state(encode_state(person.state)))


def test_an_older_shorter_state_decodes() -> None:
    assert decode_state(msgspec.msgpack.encode([7])) == limits.PersonState(version=7)


OLDER_STATE = (
    "n*`4Q00EL_aCqR(X9KcK&j0`cl3X7x0K>!}dYB$nYt`02jeeS{wTo}`L+}8jZ*6o==oV$kc$ChO#4rHS_*Rku005x8|7PH1{Z^6z"
    "007Lr|7HN?Yi5!G001Dd183lPaAuML002y~180%k01(dr00EL_Yvll<V=>PF00EL_aCqRD&j0`cl4fh=0HR|trDJSqV{5B$VQFMv"
    "b7f(2V`!kDpa1{_00IC3fuloCS<Ownz`&Ew0004!W^3gDqGK_lVKI@I&j0`cl4fh=0HR|trDJSqV{5B$VQFMvb7f(2V`!kDpa1}o"
    "n9l$J0g_hu(Ey@jFr{N`X=7`oW@Tk$prD}70004!R`}5XlAF%}00EL#{bb;xa4@KFb#h~9VRL1rZDC__Z=zu_%?r4rLrz(vZ!Ivq"
    "b7ga1G-hFCHaIzAF*h=1W;A0oWM(yEVqr8i0k}0WW;Hc9V>V)BWHK}{H(@g{Wo0uoFgKge0004!W^j1mqHr;&aCLHHXkl|@rEOtj"
    "a&MwxG0jc9qeD(vqi-!SymMu9Utu|AIAu0wVl_7~IAJt7H8e3XV_{}CH37IXWMVO4W@R>HFf}nbGGa9`W;QcnHDoc6"
)
"""Base 85: a state as written before goals had countings and orders refunds."""


def test_the_state_of_the_version_before_goes_on(person: Any) -> None:
    """Made by two sessions, each an ad click and an order (o-0 for 30, o-1 for 199); the first session is final."""
    person.state = decode_state(b85decode(OLDER_STATE))
    assert [found.order_id for found in person.state.conversions] == ["o-0", "o-1"]
    assert all(found.is_counted and found.goal_version == 1 for found in person.state.conversions)
    person.does("ad_click", 3 * DAY + 2, "late", properties={"channel": "email"})
    (late,) = person.attributions()
    assert (late.reason, late.revision, late.supersedes, late.channels) == (
        "late_touch",
        2,
        1,
        ["feed", "paid_search", "email"],
    )
    person.does("refund", 4 * DAY, properties={"order_id": "o-0", "amount": 10})
    refunded = person.effects.attributions[-1]
    assert (refunded.reason, refunded.revision, refunded.value_minor, refunded.touch_ids) == (
        "refund",
        2,
        2_000,
        ["c0"],
    )


def test_a_late_event_under_another_configuration_says_so(person: Any) -> None:
    person.does("ad_click", 0, "t0", properties={"channel": "feed"})
    person.does("purchase", 200, "buy", properties={"revenue": 5})
    app = App("shop", "Shop", goals=DEFAULT_GOALS, attribution=AttributionSettings(half_life_days=1), config_version=2)
    person.rules = compile_rules(app)
    person.does("ad_click", 100, "t1", properties={"channel": "email"})
    found = [(row.reason, row.config_version, row.touch_ids) for row in person.effects.attributions]
    assert found == [("initial", 1, ["t0"]), ("config", 2, ["t0", "t1"])]
