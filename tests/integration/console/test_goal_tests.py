"""Test events of goals: checked, sent through the gateway, and followed, over a console with its reads and a broker."""

import asyncio
import html
import json
import re
from typing import Any

import msgspec
import pytest
from console_reads import entries_of, records_of, store_event
from console_world import ADMIN, NOW_MS, OWN_APP, PASSWORD_HASH, ConsoleWorld, Visitor

from pipeline.control.goal_text import make_condition
from pipeline.control.users import Role, User
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import now_ms
from schemas.control import App, Goal
from schemas.events import AcceptedEvent
from schemas.facts import AttributionRow, ConversionRow, Model, encode_rows
from schemas.topics import Topic

APP = "trials"
GOALS = f"/apps/{APP}/goals"
TEST = f"{GOALS}/purchase/test"
CHINESE = {"Accept-Language": "zh"}
_OFFERED = re.compile(r"<textarea[^>]*>(.*?)</textarea>", re.DOTALL)


def offered(page: str) -> dict[str, Any]:
    """The event that stands in the form of a page."""
    found = _OFFERED.search(page)
    assert found is not None, page
    return json.loads(html.unescape(found[1]))  # type: ignore[no-any-return]


def written(console: ConsoleWorld) -> list[dict[str, Any]]:
    """The test events that the gateway has written."""
    lines = b"".join(records_of(console.settings, Topic.EVENTS)).splitlines()
    return [one for one in map(json.loads, lines) if one["event_id"].startswith("attrikit-test-")]


@pytest.fixture(scope="module", autouse=True)
def own_app(console: ConsoleWorld) -> None:
    """An app of these tests, which another user works on."""
    console.store.create_app(App(APP, "Trials"), NOW_MS)
    console.users.add(User("usr_tom", "tom", Role.USER, app_ids=frozenset({APP}), password_hash=PASSWORD_HASH), NOW_MS)
    console.app.state.console.snapshots.refresh()


@pytest.fixture(scope="module")
def tom(console: ConsoleWorld, own_app: None) -> Visitor:
    return console.visitor("tom")


@pytest.fixture
def pro_goal(console: ConsoleWorld) -> Any:
    """A goal with two conditions."""
    conditions = (make_condition("revenue", "gte", "100"), make_condition("plan", "eq", "pro"))
    goal = Goal("pro_order", "Pro order", "macro", "purchase", ("revenue",), conditions)
    console.store.add_goal(APP, goal, now_ms())
    console.app.state.console.snapshots.refresh()
    yield goal
    console.store.retire_goal(APP, goal.name, now_ms())


def test_the_page_of_a_goal_offers_an_event_that_meets_it(tom: Visitor, pro_goal: Goal) -> None:
    event = offered(tom.get(f"{GOALS}/pro_order").text)
    assert event["event_name"] == "purchase"
    assert event["properties"] == {"revenue": 100, "currency": "CNY", "plan": "pro"}
    assert event["anonymous_id"].startswith("attrikit-test-")
    again = offered(tom.get(f"{GOALS}/pro_order/test").text)
    assert again["anonymous_id"] != event["anonymous_id"], "another test person"


def test_a_check_says_of_each_condition_whether_it_holds_and_sends_nothing(
    console: ConsoleWorld, tom: Visitor, pro_goal: Goal
) -> None:
    before = len(written(console))
    path = f"{GOALS}/pro_order/test"
    event = {"event_name": "purchase", "user_id": "regular", "properties": {"revenue": 99, "tags": ["a"], "new": True}}
    page = tom.submit(path, event=json.dumps(event), do="check").text
    assert "It does not meet the goal" in page
    assert "the value does not meet it" in page
    assert "the property is not there" in page
    assert "CN¥99.00" in page
    assert all(f"<td>{kind}</td>" in page for kind in ("number", "list", "true or false"))
    assert "Every event would be accepted" in page
    assert "reports leave the event out" in page, "the gateway sees that it is marked"
    assert offered(page) == event, "the form keeps what was typed"
    chinese = tom.client.post(
        path, data={"token": tom.token(), "event": json.dumps(event), "do": "check"}, headers=CHINESE
    ).text
    assert "不满足该目标" in chinese
    assert "该属性不存在" in chinese
    met = tom.submit(path, event=json.dumps(offered(tom.get(path).text)), do="check").text
    assert "It meets the goal" in met
    other = tom.submit(path, event=json.dumps({"event_name": "page_view"}), do="check").text
    assert "The goal is about events of another name:" in other
    assert "It names no person" in other
    assert len(written(console)) == before
    assert entries_of(console, "goal.test") == []


def test_what_the_gateway_would_refuse_is_told_and_not_sent(console: ConsoleWorld, tom: Visitor) -> None:
    before = len(written(console))
    event = {"event_name": "Big Order", "anonymous_id": "attrikit-test-1"}
    for do in ("check", "send"):
        page = tom.submit(TEST, event=json.dumps(event), do=do).text
        assert "INVALID_EVENT_NAME" in page
        assert "big_order" in page, "what may have been meant"
        assert ("nothing was sent" in page) is (do == "send")
    page = tom.submit(TEST, event=json.dumps(event | {"event_name": "purchase", "user_id": "null"}), do="check").text
    assert "it is a placeholder and identifies nobody" in page
    assert len(written(console)) == before
    assert entries_of(console, "goal.test") == []


@pytest.mark.parametrize(
    ("event", "told", "in_chinese"),
    [
        ("[]", "a test event is one event, as a JSON object", "测试事件必须是一个 JSON 对象形式的事件"),
        (
            '{"event_name": "purchase", "user_id": "regular"}',
            "user_id of a test event must begin with attrikit-test-",
            "测试事件的 user_id 必须以 attrikit-test- 开头",
        ),
        (
            '{"event_name": "refund", "properties": {"order_id": "O-1"}}',
            "properties.order_id of a test event must begin with",
            "测试事件的 properties.order_id 必须以",
        ),
        (
            '{"event_name": "x", "user_id": 1e999}',
            "user_id of a test event must begin with attrikit-test-",
            "测试事件的 user_id 必须以 attrikit-test- 开头",
        ),
    ],
)
def test_what_may_not_be_sent_is_refused_in_both_languages(
    console: ConsoleWorld, tom: Visitor, event: str, told: str, in_chinese: str
) -> None:
    before = len(written(console))
    answer = tom.submit(TEST, event=event, do="send")
    assert answer.status_code == 400
    assert told in answer.text
    fields = {"token": tom.token(), "event": event, "do": "send"}
    assert in_chinese in tom.client.post(TEST, data=fields, headers=CHINESE).text
    assert len(written(console)) == before
    assert entries_of(console, "goal.test") == []


def test_an_event_is_sent_marked_and_followed_to_its_credits(
    console: ConsoleWorld, tom: Visitor, tables: ClickHouse, pro_goal: Goal
) -> None:
    path = f"{GOALS}/pro_order/test"
    given = offered(tom.get(path).text)
    answer = tom.submit(path, event=json.dumps(given), do="send")
    assert answer.status_code == 303, answer.text
    address = answer.headers["location"]
    (sent,) = [one for one in written(console) if address == f"{path}/{one['event_id']}"]
    assert sent["is_bot"], "so that reports leave it out"
    assert sent["anonymous_id"] == given["anonymous_id"]
    entry = entries_of(console, "goal.test")[0]
    assert (entry["login"], entry["target"], entry["after"]) == ("tom", "pro_order", {"event_id": sent["event_id"]})

    waiting = tom.get(address)
    assert "Waiting for it to be stored" in waiting.text
    assert '<noscript><meta http-equiv="refresh"' in waiting.text
    event = msgspec.convert({**sent, "properties": msgspec.Raw(msgspec.json.encode(sent["properties"]))}, AcceptedEvent)
    store_event(tables, event)
    stored = tom.get(address).text
    assert "received by the gateway" in stored
    assert "Waiting for it to be processed" in stored
    assert "It meets the goal" in stored
    assert stored.count("✓ it holds") == 2
    derive(tables, event)
    credited = tom.get(address).text
    assert "What each model gave its touches" in credited
    assert f"/apps/{APP}/conversions/cnv_test" in credited
    assert "http-equiv" not in credited, "there is nothing to wait for"
    part = tom.get(address + "?part=state").text
    assert "data-arrived" in part
    assert "<html" not in part
    assert "各模型分配给触点的功劳" in tom.get(address, **CHINESE).text
    assert "cnv_test" not in tom.get(f"/apps/{APP}/conversions").text, "the list leaves tests out"
    assert "cnv_test" in tom.get(f"/apps/{APP}/conversions?include_bots=true").text


def derive(tables: ClickHouse, event: AcceptedEvent) -> None:
    """Store what the stream makes of a test event."""
    path: dict[str, Any] = {
        "touch_ids": ["t_test"], "touched_at_ms": [event.timestamp_ms], "touch_types": ["click"],
        "channels": ["paid_search"], "sources": ["attrikit_test"], "mediums": ["cpc"], "campaigns": ["test_event"],
    }  # fmt: skip
    shared: dict[str, Any] = {
        "app_id": APP, "conversion_id": "cnv_test", "goal": "pro_order", "person_key": "a:" + event.anonymous_id,
        "converted_at_ms": event.timestamp_ms, "value_minor": 10_000, "currency": "CNY", "revision": 1,
        "reason": "initial", "is_bot": True,
    }  # fmt: skip
    bought = ConversionRow(
        **shared, **{f"path_{name}": value for name, value in path.items()}, goal_type="macro", user_id="",
        event_id=event.event_id, anonymous_id=event.anonymous_id, session_id="ses_test", order_id="",
    )  # fmt: skip
    credits, values = ({model.value: [share] for model in Model} for share in (1_000_000_000, 10_000))
    credited = AttributionRow(**shared, **path, credits_nanos=credits, values_minor=values)
    for table, row in (("conversions", bought), ("attributions", credited)):
        asyncio.run(tables.insert_ndjson(table, encode_rows([row])))


def test_an_event_that_does_not_meet_the_goal_ends_its_way_there(tom: Visitor, tables: ClickHouse) -> None:
    now = now_ms()
    store_event(tables, AcceptedEvent(APP, "attrikit-test-v", "page_view", now, now * 1000, "", "attrikit-test-v"))
    page = tom.get(f"{TEST}/attrikit-test-v").text
    assert "no conversion: it does not meet the goal" in page
    assert "data-arrived" in page


def test_a_test_needs_the_app_a_goal_and_a_token(console: ConsoleWorld, tom: Visitor) -> None:
    event = json.dumps({"event_name": "purchase", "anonymous_id": "attrikit-test-1"})
    assert tom.submit(TEST.replace(APP, OWN_APP), event=event, do="send").status_code == 404
    assert tom.submit(TEST.replace("purchase", "nothing"), event=event, do="send").status_code == 404
    assert tom.send(TEST, event=event, do="send").status_code == 403
    assert tom.get(TEST.replace("purchase", "nothing")).status_code == 404
    assert tom.get(TEST.replace("purchase", "nothing") + "/e1").status_code == 404


def test_a_gateway_that_is_away_is_told(world: ConsoleWorld) -> None:
    answer = world.visitor(ADMIN).submit(TEST.replace(APP, OWN_APP), event='{"event_name": "purchase"}', do="check")
    assert answer.status_code == 503
    assert "The data cannot be read now" in answer.text
