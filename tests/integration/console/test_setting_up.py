"""The pages with which people set things up, over a console with its reads: goals and channel rules."""

from typing import Any

import pytest
from console_reads import entries_of
from console_texts import english_texts_left
from console_world import FOREIGN_APP, OWN_APP, ConsoleWorld, Visitor

from pipeline.runtime.clock import now_ms

GOALS, CHANNELS = f"/apps/{OWN_APP}/goals", f"/apps/{OWN_APP}/channels"
GOAL = {
    "name": "big_order",
    "display_name": "Big order",
    "goal_type": "macro",
    "event_name": "purchase",
    "value_properties": "revenue",
    "counting": "every",
    "condition_name": ["revenue", ""],
    "condition_is": ["gte", "eq"],
    "condition_value": ["100", ""],
}
RULE = {"change": "rule", "name": "partner", "channel": "affiliate", "referrer": "*.partner.example"}


def test_a_goal_shows_what_it_would_have_matched_before_it_is_stored(console: ConsoleWorld, mia: Visitor) -> None:
    shown = mia.submit(GOALS + "/new", **GOAL, do="preview")
    assert shown.status_code == 200
    assert "It would have matched 4 of 7 events." in shown.text, "100, 150, 200 and the unreadable one"
    assert "CN¥450.00" in shown.text
    assert 'value="revenue"' in shown.text, "the form keeps what was typed"
    assert all(goal.name != "big_order" for goal in console.store.app(OWN_APP).goals)
    assert entries_of(console, "goal.add") == []


def test_a_goal_is_added_changed_and_retired_and_its_versions_stay(console: ConsoleWorld, mia: Visitor) -> None:
    assert mia.submit(GOALS + "/new", **GOAL).headers["location"] == GOALS + "?saved=1"
    page = mia.get(GOALS).text
    assert "Big order" in page
    assert "revenue gte 100" in page
    assert mia.submit(GOALS + "/big_order", **GOAL | {"condition_value": ["500", ""]}).status_code == 303
    stored = next(goal for goal in console.store.app(OWN_APP).goals if goal.name == "big_order")
    assert (stored.version, stored.conditions[0].value) == (2, 500)
    edit = mia.get(GOALS + "/big_order").text
    assert "It would have matched 0 of 7 events." in edit
    assert mia.submit(GOALS + "/big_order/retire").status_code == 303
    assert "retired" in mia.get(GOALS).text
    assert mia.get(GOALS + "/big_order").status_code == 404
    assert [len(entries_of(console, f"goal.{action}")) for action in ("add", "change", "retire")] == [1, 1, 1]
    assert entries_of(console, "goal.change")[0]["before"]["conditions"][0]["value"] == 100


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "Not A Name"}, "snake_case"),
        ({"name": "purchase"}, "has a goal"),
        ({"goal_type": "giant"}, "macro or micro"),
        ({"counting": "sometimes"}, "every, once_per_session"),
        ({"condition_value": ["", ""]}, "expected PROPERTY OPERATOR VALUE"),
        ({"condition_is": ["like", "eq"]}, "expected PROPERTY OPERATOR VALUE"),
        ({"condition_value": ["[" * 3_000, ""]}, "at most 1000 characters"),
        ({"condition_value": ["9" * 400, ""]}, "a number of at most 64 bits"),
        ({"condition_value": ["9" * 4_300, ""]}, "a number of at most 64 bits"),
        ({"condition_value": ["9" * 5_000, ""]}, "at most 1000 characters"),
    ],
)
def test_a_goal_that_is_not_acceptable_is_refused_with_the_reason(
    console: ConsoleWorld, mia: Visitor, change: dict[str, Any], told: str
) -> None:
    before = console.store.app(OWN_APP).goals
    answer = mia.submit(GOALS + "/new", **GOAL | change)
    assert answer.status_code == 400
    assert told in answer.text
    assert 'role="alert"' in answer.text
    assert console.store.app(OWN_APP).goals == before


def test_an_app_without_goals_says_what_to_do(console: ConsoleWorld, admin: Visitor) -> None:
    for goal in console.store.app(FOREIGN_APP).goals:
        console.store.retire_goal(FOREIGN_APP, goal.name, now_ms())
    page = admin.get(f"/apps/{FOREIGN_APP}/goals").text
    assert "No goal yet" in page
    assert f"/apps/{FOREIGN_APP}/goals/new" in page


def test_a_channel_rule_shows_what_it_would_move_then_holds_then_is_undone(
    console: ConsoleWorld, mia: Visitor, admin: Visitor
) -> None:
    assert "No rule of your own" in mia.get(CHANNELS).text
    shown = mia.submit(CHANNELS, **RULE, do="preview").text
    assert "1 of 2 arrivals" in shown
    assert "Affiliates" in shown
    assert console.store.app(OWN_APP).attribution.channels.rules == ()
    assert mia.submit(CHANNELS, **RULE).headers["location"] == CHANNELS + "?saved=1"
    second = RULE | {"name": "shop_news", "channel": "email", "referrer": "*.news.example", "before": "partner"}
    assert mia.submit(CHANNELS, **second).status_code == 303
    assert [rule.name for rule in console.store.app(OWN_APP).attribution.channels.rules] == ["shop_news", "partner"]
    assert mia.submit(CHANNELS, change="down", name="shop_news").status_code == 303
    assert [rule.name for rule in console.store.app(OWN_APP).attribution.channels.rules] == ["partner", "shop_news"]
    assert 'value="*.partner.example"' in mia.get(CHANNELS + "?rule=partner").text
    tested = mia.client.get(CHANNELS, params={"referrer": "https://a.partner.example/x"}).text
    assert "app:partner" in tested
    assert "Affiliates" in tested
    assert "Go back to 2…" in tested
    assert mia.submit(CHANNELS, change="restore", version="2").status_code == 303
    app = console.store.app(OWN_APP)
    assert [rule.name for rule in app.attribution.channels.rules] == ["partner"]
    assert app.config_version == 5, "going back is a version of its own"
    assert mia.submit(CHANNELS, change="remove", name="partner").status_code == 303
    entries = entries_of(console, "channels.change")
    assert [one["target"] for one in entries] == ["remove", "restore", "down", "rule", "rule"]
    assert entries[-1]["after"]["rules"][0]["name"] == "partner"
    log = admin.get(f"/apps/{OWN_APP}/changes", **{"Accept-Language": "zh"}).text
    assert english_texts_left(log) == set(), "what programs call a change is no text"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (RULE | {"name": "No Name"}, "snake_case"),
        (RULE | {"referrer": ""}, "one pattern at least"),
        (RULE | {"before": "nowhere"}, "there is no rule"),
        ({"change": "remove", "name": "nowhere"}, "there is no rule"),
        ({"change": "hosts", "own_domains": "https://shop.example"}, "a host in lower case"),
        ({"change": "restore", "version": "99"}, "there is no version"),
        ({"change": "all of it"}, "This cannot be done"),
    ],
)
def test_a_change_of_channels_that_is_not_acceptable_is_refused(
    console: ConsoleWorld, mia: Visitor, change: dict[str, str], told: str
) -> None:
    version = console.store.app(OWN_APP).config_version
    answer = mia.submit(CHANNELS, **change)
    assert answer.status_code == 400
    assert told in answer.text
    assert console.store.app(OWN_APP).config_version == version


@pytest.mark.parametrize("path", ["goals/new", "goals/purchase", "goals/purchase/retire", "channels"])
def test_a_change_needs_the_app_and_a_token(console: ConsoleWorld, mia: Visitor, path: str) -> None:
    before = console.store.app(OWN_APP), console.store.app(FOREIGN_APP)
    assert mia.submit(f"/apps/{FOREIGN_APP}/{path}", **GOAL | RULE).status_code == 404
    assert mia.send(f"/apps/{OWN_APP}/{path}", **GOAL | RULE).status_code == 403
    assert (console.store.app(OWN_APP), console.store.app(FOREIGN_APP)) == before


@pytest.mark.parametrize(
    ("path", "fields", "told"),
    [
        (GOALS + "/new", GOAL | {"name": "Big"}, "目标名称 &#39;Big&#39; 无效：应为snake_case 格式，最多 64 个字符"),
        (CHANNELS, RULE | {"channel": "Bad One"}, "渠道 &#39;Bad One&#39; 无效"),
        (f"/apps/{OWN_APP}/api-keys/origins", {"origins": "nowhere/"}, "来源 &#39;nowhere/&#39; 无效：应为来源，例如"),
        (f"/apps/{OWN_APP}/webhooks", {"url": "https://example.com/"}, "端点至少需要一种事件类型"),
        (
            f"/apps/{OWN_APP}/webhooks",
            {"url": "https://example.com/", "event": "threshold.alert", "concurrency": "0"},
            "同时调用数 0 无效：应为1 到 100",
        ),
        (
            f"/apps/{OWN_APP}/webhooks",
            {"url": "https://[::ffff:10.0.0.1]/"},
            "::ffff:10.0.0.1 代表 10.0.0.1，即私有地址；可通过 ATTRIKIT_WEBHOOK_ALLOWED_NETWORKS 允许自有网络",
        ),
        (f"/apps/{OWN_APP}/webhooks", {"url": "ftp://example.com/"}, "只能使用 http 或 https"),
        (
            f"/apps/{OWN_APP}/alerts",
            {
                "metric": "rejected_rate",
                "comparison": "above",
                "threshold": "-1",
                "window_minutes": "60",
                "trailing": "7",
            },
            "阈值 -1.0 无效：应为不小于 0",
        ),
    ],
)
def test_what_is_not_acceptable_is_told_in_chinese(mia: Visitor, path: str, fields: dict[str, Any], told: str) -> None:
    token = mia.token()
    answer = mia.client.post(path, data=fields | {"token": token}, headers={"Accept-Language": "zh"})
    assert answer.status_code in (400, 404)
    assert told in answer.text
    assert "is not acceptable" not in answer.text
