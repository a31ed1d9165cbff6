"""Stories: what one person does, and what is written about it."""

import struct
from base64 import b85decode
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pipeline.domain import state as limits
from pipeline.domain.journey import apply_event, has_unpublished, is_expired, next_timer_ms
from pipeline.domain.rules import compile_rules
from pipeline.domain.state import decode_state, encode_state, new_state
from schemas.control import DEFAULT_GOALS, App, AttributionSettings
from schemas.events import StreamEvent

SITE = "https://shop.example.com"
AD = SITE + "/?utm_source=baidu&utm_medium=cpc&utm_campaign=spring"
BAIDU = "https://www.baidu.com/"
HOUR = 60
DAY = 24 * HOUR
START_MS = 20_000 * 86_400_000 + 10 * 3_600_000

MakePerson = Callable[..., Any]


# Sessions


def test_a_gap_of_thirty_minutes_ends_a_session(person: Any) -> None:
    person.does("page_view", 0)
    person.does("page_view", 29.99)
    person.does("page_view", 30)
    person.does("page_view", 60)
    assert [(row.events, row.page_views) for row in person.sessions()] == [(3, 3), (1, 1)]


def test_the_session_row(make_person: MakePerson) -> None:
    person = make_person(user_id="u1", anonymous_id="a1")
    person.does("page_view", 0, page_url=AD, referrer=BAIDU)
    person.does("click_button", 1, page_url=AD)
    person.does("page_view", 2, page_url=SITE + "/thanks")
    person.does("purchase", 3, properties={"revenue": 9.5})
    (row,) = person.sessions()
    assert (row.user_id, row.anonymous_id, row.person_key) == ("u1", "a1", "u:u1")
    assert (row.start_ms, row.end_ms, row.events, row.page_views) == (START_MS, START_MS + 180_000, 4, 2)
    assert (row.entry_page, row.exit_page) == (AD, SITE + "/thanks")
    assert (row.channel, row.source, row.medium, row.campaign) == ("paid_search", "baidu", "cpc", "spring")
    assert (row.conversions, row.values_minor, row.is_bounce, row.is_closed) == (1, {"CNY": 950}, False, False)


def test_a_session_closes_when_the_watermark_passes_its_end_by_the_gap(person: Any) -> None:
    person.does("page_view", 0)
    (opened,) = person.publish(0)
    assert person.publish(29.9) == []
    (closed,) = person.publish(30)
    assert (opened.is_closed, closed.is_closed) == (False, True)
    assert closed.revision == opened.revision + 1
    assert opened.is_bounce
    assert person.publish(31) == []


def test_sessions_close_at_full_minutes_so_that_it_does_not_matter_when_they_are_written(person: Any) -> None:
    person.does("page_view", 0.5)
    (opened,) = person.publish(30.75)
    assert not opened.is_closed
    (closed,) = person.publish(31)
    assert closed.is_closed


def test_a_late_event_reopens_restates_and_joins(person: Any) -> None:
    person.does("page_view", 0)
    person.does("page_view", 50)
    first, second = person.publish(200)
    person.does("page_view", 25)
    rows = {row.session_id: row for row in person.publish()}
    assert rows[second.session_id].is_deleted
    assert rows[second.session_id].revision > second.revision
    joined = rows[first.session_id]
    assert (joined.events, joined.end_ms, joined.is_closed) == (3, START_MS + 50 * 60_000, True)
    assert joined.revision > first.revision


def test_an_earlier_start_gives_the_session_another_id(person: Any) -> None:
    person.does("page_view", 10)
    (before,) = person.publish()
    person.does("page_view", 0)
    taken_back, after = person.publish()
    assert (taken_back.session_id, taken_back.is_deleted) == (before.session_id, True)
    assert after.session_id != before.session_id
    assert [row.session_id for row in person.sessions()] == [after.session_id]


def test_a_session_across_midnight_is_one(person: Any) -> None:
    for hour in range(0, 20 * HOUR, 20):
        person.does("page_view", hour)
    (row,) = person.sessions()
    assert (row.events, row.end_ms - row.start_ms) == (60, 59 * 20 * 60_000)


def test_a_chain_longer_than_a_day_is_cut_at_midnights(person: Any) -> None:
    """From ten to ten is one session; one more event and there are two, and with them a touch at midnight."""
    for minute in range(0, DAY + 1, 20):
        person.does("page_view", minute, page_url=SITE + "/")
    assert [row.events for row in person.sessions()] == [73]
    assert [row.touch_id for row in person.touches()] == ["e0"]
    person.does("page_view", DAY + 20)
    assert [(row.events, row.start_ms % 86_400_000) for row in person.sessions()] == [(42, 36_000_000), (32, 0)]
    assert [row.touch_id for row in person.touches()] == ["e0", "e42"]


def test_a_chain_that_never_ends_keeps_a_bounded_state(person: Any) -> None:
    sizes, minutes = [], range(0, 10 * DAY, 25)
    for minute in minutes:
        person.does("page_view", minute, page_url=SITE + "/")
        if minute % DAY == 0:
            person.publish()
            sizes.append(len(person.state.segments))
    assert max(sizes) <= 3
    by_day = Counter((START_MS + minute * 60_000) // 86_400_000 for minute in minutes)
    assert [row.events for row in person.sessions()] == list(by_day.values())


@pytest.mark.parametrize("is_published_between", [True, False])
def test_a_session_taken_back_comes_back_when_its_chain_is_cut(
    make_person: MakePerson, is_published_between: bool
) -> None:
    person = make_person(session_gap_seconds=10 * 3600, allowed_lateness_seconds=3 * 86_400)
    person.does("page_view", 18 * HOUR)
    person.does("page_view", 27 * HOUR)
    (alone,) = person.publish()
    person.does("page_view", 10 * HOUR)  # 17 hours: one session, named by this event
    if is_published_between:
        assert [row.events for row in person.sessions()] == [3]
    person.does("page_view", 1 * HOUR)  # 26 hours: cut at midnight, the first session is there again
    cut = person.sessions()
    assert [row.events for row in cut] == [2, 2]
    assert cut[1].session_id == alone.session_id
    assert cut[1].revision > alone.revision


def test_a_chain_whose_beginning_is_final_stays_cut(make_person: MakePerson) -> None:
    """19 h apart from the first to the last event *kept*, but two days in all."""
    person = make_person(session_gap_seconds=10 * 3600, allowed_lateness_seconds=2 * 3600)
    for hour in (0, 9, 18, 27):
        person.does("page_view", hour * HOUR)
    person.publish()
    assert [segment.chain_start_ms for segment in person.state.segments] == [START_MS]
    for hour in (37.5, 36, 41):  # a session of its own, an event that joins it to the chain, the next day
        person.does("page_view", hour * HOUR)
    assert [row.events for row in person.sessions()] == [2, 4, 1]


# Events that do not count


def test_a_repeat_is_marked_with_the_time_of_the_one_that_counts(person: Any) -> None:
    person.does("purchase", 0, "p1", properties={"revenue": 5})
    before = encode_state(person.state)
    person.does("purchase", 1, "p1", properties={"revenue": 5})
    (mark,) = person.effects.marks
    assert (mark.mark, mark.event_id, mark.app_id) == ("duplicate", "p1", "shop")
    assert (mark.timestamp_ms, mark.first_timestamp_ms) == (START_MS + 60_000, START_MS)
    assert (mark.partition, mark.offset, mark.index) == (3, 1, 1)
    assert encode_state(person.state) == before
    assert len(person.effects.conversions) == 1


@pytest.mark.parametrize(("days", "marks"), [(6.9, ["duplicate"]), (7.1, [])])
def test_ids_are_remembered_for_seven_days_from_receipt(person: Any, days: float, marks: list[str]) -> None:
    person.does("page_view", 0, "p1")
    person.does("page_view", 1, "p1", received_us=int((START_MS + days * 86_400_000) * 1000))
    assert [mark.mark for mark in person.effects.marks] == marks


def test_an_id_that_aged_out_and_came_again_is_remembered_anew(person: Any) -> None:
    for day in (0, 8, 9):
        person.does("page_view", day * DAY, "p1")
    assert [mark.timestamp_ms for mark in person.effects.marks] == [START_MS + 9 * 86_400_000]
    assert person.effects.marks[0].first_timestamp_ms == START_MS + 8 * 86_400_000


def test_ids_seen_are_capped_and_the_oldest_are_forgotten(person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.domain.seen.MAX_SEEN", 3)
    for name in ("a", "b", "c", "d"):
        person.does("page_view", 0, name)
    person.does("page_view", 0, "b")
    assert [mark.event_id for mark in person.effects.marks] == ["b"]
    person.does("page_view", 0, "a")
    assert len(person.effects.marks) == 1


def test_an_event_beyond_the_lateness_is_marked_and_changes_nothing(person: Any) -> None:
    person.does("page_view", 2 * DAY)
    person.publish()
    person.does("page_view", DAY - 0.01, "late")
    person.does("page_view", DAY, "in time")
    (mark,) = person.effects.marks
    assert (mark.mark, mark.event_id, mark.first_timestamp_ms) == ("late", "late", mark.timestamp_ms)
    assert [row.events for row in person.sessions()] == [1, 1]
    person.does("page_view", DAY - 0.01, "late")
    assert person.effects.marks[-1].mark == "duplicate"


def test_what_is_final_stays_final_if_the_watermark_goes_back(person: Any) -> None:
    person.does("page_view", 0)
    (row,) = person.publish(3 * DAY)
    person.watermark_ms = 0
    person.does("page_view", 5)
    assert [mark.mark for mark in person.effects.marks] == ["late"]
    assert person.sessions() == [row]


def test_nobodys_event_is_remembered_and_nothing_else(make_person: MakePerson) -> None:
    nobody = make_person(user_id="")
    nobody.does("purchase", 0, "p1", properties={"revenue": 5}, page_url=AD)
    assert nobody.effects.is_empty
    assert not has_unpublished(nobody.state)
    nobody.does("purchase", 0, "p1", properties={"revenue": 5})
    assert [mark.mark for mark in nobody.effects.marks] == ["duplicate"]
    assert next_timer_ms(nobody.state, nobody.rules) == START_MS + 7 * 86_400_000 + 1000


@pytest.mark.parametrize("field", ["timestamp_ms", "received_us"])
def test_absurd_times_are_refused_before_anything_changes(person: Any, field: str) -> None:
    person.does("page_view", 0)
    before = encode_state(person.state)
    good = StreamEvent("shop", "bad", "page_view", START_MS, START_MS * 1000, "u1")
    setattr(good, field, 10**30)
    with pytest.raises(struct.error):
        _apply(person, good)
    assert encode_state(person.state) == before


def _apply(person: Any, event: StreamEvent) -> None:
    apply_event(person.state, event, "u:u1", person.rules, 0, 0, 0, 0, person.effects)


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
    assert [row.channel for row in person.touches()] == ["direct"]
    person.does("page_view", 1, page_url=SITE + "/", referrer=BAIDU)
    assert [(row.touch_id, row.channel) for row in person.touches()] == [("e1", "organic_search")]


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
    assert after.touch_ids == by_event["after"].path_touch_ids == ["e0", "before", "ad", "after"]
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


def test_a_path_has_the_newest_hundred_touches(person: Any) -> None:
    for number in range(limits.MAX_TOUCHES + 20):
        person.does("ad_click", number * 5 * HOUR, properties={"channel": "feed"})
        person.publish()
    assert len(person.state.touches) <= limits.MAX_TOUCHES
    person.rules.window_ms["click"] = 10**15
    person.does("purchase", number * 5 * HOUR + 1)
    (row,) = person.conversions()
    assert row.path_touch_ids == [f"e{i}" for i in range(20, 120)]


def test_a_session_keeps_its_first_hundred_campaigns_in_any_order(person: Any) -> None:
    for number in reversed(range(150)):
        person.does("ad_click", number / 100, f"c{number:03}", properties={"channel": "feed", "campaign": str(number)})
    assert [row.touch_id for row in person.touches()] == [f"c{i:03}" for i in range(100)]


def test_conversions_kept_are_capped_and_aged(person: Any) -> None:
    for number in range(limits.MAX_CONVERSIONS + 5):
        person.does("purchase", number / 100)
    assert len(person.state.conversions) == limits.MAX_CONVERSIONS
    assert person.sessions()[0].conversions == limits.MAX_CONVERSIONS + 5
    person.publish(40 * DAY)
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
    """Made by two visits, each an ad click and an order (o-0 for 30, o-1 for 199); the first visit is final."""
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
    assert found == [("initial", 1, ["t0", "buy"]), ("config", 2, ["t0", "t1", "buy"])]
