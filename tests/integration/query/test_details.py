"""One thing at a time: an event and its way, a conversion and its path, how fresh an answer is."""

from decimal import Decimal
from typing import Any

import httpx
import msgspec
from query_world import DAY_MS, FIRST_MS, World

from pipeline.domain.conversions.goals import order_id_of
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import now_ms
from schemas.events import AcceptedEvent
from schemas.facts import AttributionRow, ConversionRow, EventMarkRow, Model, TouchRow, encode_rows
from services.query.core.times import parse_instant, time_in_zone
from services.query.events.refunds import ORDER_ID
from services.query.operator.reader import ledger_counts


async def test_an_event_and_where_it_stands(ask: Any, alpha: World) -> None:
    event = next(event for event in alpha.events if event.event_name == "purchase")
    conversion = next(row for row in alpha.conversions if row.event_id == event.event_id)
    session = next(row for row in alpha.sessions if row.session_id == conversion.session_id)
    data = await ask("events/{}", event.event_id)
    assert data["event"]["event_id"] == event.event_id
    assert data["session"]["session_id"] == session.session_id
    assert data["session"]["channel"] == session.channel
    assert data["status"]["current"] == "attributed"
    assert [step["is_reached"] for step in data["status"]["steps"]] == [True] * 5 + [False]
    times = [step["at"] for step in data["status"]["steps"]]
    assert times[0] == time_in_zone(event.received_us // 1000, "Asia/Shanghai")
    assert all(FIRST_MS < parse_instant(at) <= now_ms() for at in times[:5])
    assert times[5] is None
    [found] = data["status"]["conversions"]
    assert (found["conversion_id"], found["goal"]) == (conversion.conversion_id, "purchase")
    assert (found["is_attributed"], found["revision"]) == (True, 2)
    assert found["attributed_at"] == times[4]
    assert found["restated_at"] >= found["attributed_at"], "revision 1 came after, in this world"


async def test_an_event_that_a_receiver_was_told_of(ask: Any, alpha: World, facts: ClickHouse) -> None:
    conversion = next(row for row in alpha.conversions if row.goal == "user_signup")
    at_ms = now_ms() - DAY_MS  # old attempts are forgotten
    attempt = {
        "app_id": "alpha", "delivery_id": "whd_told", "endpoint_id": "e", "event_type": "attribution.completed",
        "fact_id": conversion.conversion_id, "attempted_at_ms": at_ms, "duration_ms": 20,
    }  # fmt: skip
    failed = attempt | {"attempt_id": "1", "outcome": "retrying"}
    delivered = attempt | {"attempt_id": "2", "attempted_at_ms": at_ms + 5_000, "outcome": "delivered"}
    await facts.insert_ndjson("webhook_attempts", encode_rows([failed]))
    assert (await ask("events/{}", conversion.event_id))["status"]["current"] == "attributed"
    await facts.insert_ndjson("webhook_attempts", encode_rows([delivered]))
    status = (await ask("events/{}", conversion.event_id))["status"]
    assert status["current"] == "delivered"
    assert status["steps"][-1]["at"] == time_in_zone(at_ms + 5_020, "Asia/Shanghai")
    assert status["conversions"][0]["delivered_at"] == time_in_zone(at_ms + 5_020, "Asia/Shanghai")


async def test_a_session_holds_its_first_and_its_last_event(ask: Any, alpha: World) -> None:
    for session in alpha.sessions[:5]:
        for at_ms in (session.start_ms, session.end_ms):
            event = next(event for event in alpha.events if event.timestamp_ms == at_ms)
            data = await ask("events/{}", event.event_id)
            assert data["session"]["session_id"] == session.session_id


async def test_an_event_that_is_no_conversion_ends_in_its_session(ask: Any, alpha: World) -> None:
    event = next(event for event in alpha.events if event.event_name == "search")
    data = await ask("events/{}", event.event_id)
    assert data["status"]["current"] == "sessionised"
    assert data["status"]["conversions"] == []


async def test_a_late_and_repeated_event_says_so(ask: Any, facts: ClickHouse) -> None:
    row = {
        "app_id": "empty",
        "event_id": "late",
        "event_name": "x",
        "timestamp_ms": 9,
        "received_us": 1,
        "user_id": "l",
    }
    place = {"timestamp_ms": 9, "first_timestamp_ms": 9, "received_us": 1, "partition": 0, "offset": 0}
    marks = [
        EventMarkRow(app_id="empty", event_id="late", mark=mark, index=index, **place)
        for index, mark in enumerate(["late", "duplicate", "duplicate"])
    ]
    await facts.insert_ndjson("events", encode_rows([row]))
    await facts.insert_ndjson("event_marks", encode_rows(marks))
    data = await ask("events/{}", "late", key="empty")
    assert data["session"] is None
    assert data["status"]["is_late"] is True
    assert data["status"]["repeats"] == 2
    assert data["status"]["current"] == "stored"


async def test_a_repeat_under_another_time_is_taken_back(ask: Any, facts: ClickHouse) -> None:
    base = {"app_id": "empty", "event_id": "twice", "event_name": "x", "user_id": "t"}
    await facts.insert_ndjson("events", encode_rows([base | {"timestamp_ms": 50, "received_us": 2}]))
    await facts.insert_ndjson("events", encode_rows([base | {"timestamp_ms": 40, "received_us": 1}]))
    assert (await ask("events/{}", "twice", key="empty"))["event"]["timestamp"] == time_in_zone(40, "Asia/Shanghai")
    mark = EventMarkRow(
        app_id="empty",
        event_id="twice",
        mark="duplicate",
        timestamp_ms=50,
        first_timestamp_ms=40,
        received_us=2,
        partition=0,
        offset=1,
        index=0,
    )
    await facts.insert_ndjson("event_marks", encode_rows([mark]))
    listed = await ask("events", key="empty", user_id="t")
    assert [item["timestamp"] for item in listed["items"]] == [time_in_zone(40, "Asia/Shanghai")]


async def test_every_conversion_explains_itself(ask: Any, alpha: World) -> None:
    attributions = {row.conversion_id: row for row in alpha.attributions}
    for conversion in alpha.conversions[:25]:
        data = await ask("attribution", conversion_id=conversion.conversion_id)
        check_path(data, conversion, attributions[conversion.conversion_id], alpha.touches)


def check_path(data: Any, conversion: ConversionRow, row: AttributionRow, touches: list[TouchRow]) -> None:
    digits = 0 if conversion.currency == "JPY" else 2
    kept = [touch for touch in data["touches"] if touch["is_kept"]]
    left_out = [touch["touch_id"] for touch in data["touches"] if not touch["is_kept"]]
    assert [touch["touch_id"] or "" for touch in kept] == row.touch_ids
    assert data["revision"] == row.revision
    assert (data["reason"], data["supersedes"], data["config_version"]) == ("initial", 1, 5)
    assert data["conversion"]["goal_version"] == conversion.goal_version
    assert data["settings"]["window_days"]["click"] == 7, "version 5's, not today's"
    assert [(r["revision"], r["supersedes"], r["touch_ids"]) for r in data["revisions"]] == [
        (1, 1, conversion.path_touch_ids), (2, 1, conversion.path_touch_ids)
    ]  # fmt: skip
    assert all(r["at"] for r in data["revisions"])
    assert {model: total["credit"] for model, total in data["totals"].items()} == dict.fromkeys(Model, 1)
    for model in Model:
        credits = [touch["models"][model]["credit"] for touch in kept]
        assert sum(credits) == 1
        exact = zip(credits, row.credits_nanos[model], strict=True)
        assert all(abs(credit * 10**9 - nanos) < 1_000 and credit * 10**6 % 1 == 0 for credit, nanos in exact)
        values = [touch["models"][model]["value"] for touch in kept]
        assert [int(value * 10**digits) for value in values] == row.values_minor[model]
        assert sum(values) == data["conversion"]["value"]
    known = {
        touch.touch_id
        for touch in touches
        if touch.person_key == row.person_key and touch.touched_at_ms <= row.converted_at_ms
    }
    assert set(left_out) == known - set(row.touch_ids)
    times = [touch["touched_at"] for touch in data["touches"]]
    assert times == sorted(times)


def touch(touch_id: str, at_ms: int, touch_type: str, channel: str, session_id: str = "s") -> TouchRow:
    head = (touch_id, at_ms, touch_type, channel, "", "", "")
    return TouchRow(*head, app_id="path", person_key="u:p", session_id=session_id, revision=1)


async def test_why_a_touch_was_left_out(query_app: Any, facts: ClickHouse, ask: Any) -> None:
    at_ms = FIRST_MS + 60 * DAY_MS
    many = [touch(f"many{n:03}", at_ms - 20 * DAY_MS + n, "click", "email") for n in range(98)]
    touches = [
        *many,
        touch("old", at_ms - 31 * DAY_MS, "click", "email"),
        touch("seen", at_ms - 2000, "impression", "paid_social", "s2"),
        touch("clicked", at_ms - 1000, "click", "paid_social", "s2"),
        touch("other", at_ms - 500, "visit", "direct", "s3"),
        touch("after", at_ms + 1, "click", "email"),
    ]
    rows = [msgspec.structs.replace(row, app_id="empty") for row in touches]
    conversion = {
        "app_id": "empty", "conversion_id": "why", "goal": "purchase", "person_key": "u:p", "converted_at_ms": at_ms,
        "value_minor": 100, "currency": "CNY", "revision": 1,
    }  # fmt: skip
    await facts.insert_ndjson("touches", encode_rows(rows))
    await facts.insert_ndjson("conversions", encode_rows([conversion]))
    before = await ask("attribution", conversion_id="why", key="empty")
    assert (before["revision"], before["reason"], before["touches"]) == (None, None, [])
    attribution = conversion | {
        "touch_ids": ["clicked"], "touched_at_ms": [at_ms - 1000], "touch_types": ["click"],
        "channels": ["paid_social"], "sources": [""], "mediums": [""], "campaigns": [""],
        "credits_nanos": {"linear": [10**9]}, "values_minor": {"linear": [100]}, "reason": "initial",
    }  # fmt: skip
    await facts.insert_ndjson("attributions", encode_rows([attribution]))
    data = await ask("attribution", conversion_id="why", key="empty", model="linear")
    reasons = [(found["touch_id"], found["left_out_because"]) for found in data["touches"]]
    assert reasons[:3] == [("old", "outside_window"), ("many000", "not_counted"), ("many001", "repeated_contact")]
    assert reasons[99:] == [("seen", "same_contact"), ("clicked", None), ("other", "not_counted")]
    assert data["touches"][100]["models"] == {"linear": {"credit": 1, "value": Decimal("1.00"), "because": "equal"}}
    assert data["touches"][99]["age_seconds"] == 2
    assert [found["window_seconds"] // 86_400 for found in data["touches"][98:]] == [30, 1, 30, 30]


async def test_the_journey_of_a_person_holds_its_facts_newest_first(ask: Any, alpha: World) -> None:
    for person in sorted({session.person_key for session in alpha.sessions})[:12]:
        journey = await ask("users/{}/journey", person[2:])
        for kind, id_name, rows in (
            ("sessions", "session_id", alpha.sessions),
            ("touches", "touch_id", alpha.touches),
            ("conversions", "conversion_id", alpha.conversions),
        ):
            wanted = {getattr(row, id_name) for row in rows if row.person_key == person}
            assert {one[id_name] for one in journey[kind]} == wanted
            times = [one.get("start") or one.get("touched_at") or one.get("converted_at") for one in journey[kind]]
            assert times == sorted(times, reverse=True)


async def test_a_person_whose_id_has_slashes(facts: ClickHouse, ask: Any, client: httpx.AsyncClient) -> None:
    event = AcceptedEvent("empty", "evt_slash", "page_view", FIRST_MS, FIRST_MS * 1000, user_id="shop/7/events")
    await facts.insert_ndjson("events", encode_rows([event]))
    found = await ask("users/{}/events", "shop%2F7%2Fevents", key="empty")
    assert [item["user_id"] for item in found["items"]] == ["shop/7/events"]
    headers = {"Authorization": "Bearer ak_test_empty"}
    assert (await client.get("/v1/users/shop/7/events", headers=headers)).status_code == 404


async def test_complete_through_follows_what_is_loaded(ask: Any, query_app: Any, facts: ClickHouse) -> None:
    async def through() -> str | None:
        query_app.state.reader._fresh_until = 0.0
        found: str | None = (await ask("events", limit=1))["meta"]["complete_through"]
        return found

    async def say(table: str, **row: Any) -> None:
        await facts.insert_ndjson(table, encode_rows([row]))

    assert await through() is None
    await say(
        "progress", partition=1, next_offset=7, watermark_ms=FIRST_MS, pending_sessions=0,
        derived_offsets={"sessions": 3}, reported_at_ms=1,
    )  # fmt: skip
    assert await through() is None
    await say("loaded_offsets", topic="events", partition=1, next_offset=7, loaded_at_ms=1)
    assert await through() is None
    await say("loaded_offsets", topic="sessions", partition=1, next_offset=3, loaded_at_ms=1)
    assert await through() == "2024-01-01T08:00:00.000+08:00"
    await say("loaded_offsets", topic="events", partition=2, next_offset=1, loaded_at_ms=1)
    assert await through() is None
    await say("loaded_offsets", topic="events", partition=2, next_offset=0, loaded_at_ms=2)


REFUND_STATES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"order_id": "O"}, {"refunded_minor": 500}, "applied"),
    ({"order_id": "O", "amount": 5, "currency": "CNY"}, {"refunded_minor": 500}, "applied"),
    ({"order_id": "O"}, {}, "pending"),
    ({"order_id": "O", "amount": 5, "currency": "USD"}, {}, "no_effect"),
    ({"order_id": "O", "amount": "some"}, {}, "no_effect"),
    ({"order_id": "O"}, {"value_minor": 0, "value_issue": "unreadable_value"}, "no_effect"),
    ({"order_id": "O"}, {"converted_at_ms": FIRST_MS + 3 * DAY_MS}, "no_effect"),
    ({"order_id": "O"}, {"received_us": (FIRST_MS + 401 * DAY_MS) * 1_000}, "no_effect"),
    ({"order_id": "P"}, {}, "waiting"),
    ({"order_id": 7}, {"order_id": "7", "refunded_minor": 1}, "applied"),
    ({"amount": 5}, {}, "no_order"),
]


async def test_what_became_of_a_refund(ask: Any, alpha: World, facts: ClickHouse) -> None:
    base = {"app_id": "empty", "order_id": "O", "value_minor": 1_000, "currency": "CNY", "converted_at_ms": FIRST_MS}
    plain = {"refunded_minor": 0, "value_issue": "", "conversion_id": "cnv_refunded"}
    for number, (properties, changes, state) in enumerate(REFUND_STATES):
        event = AcceptedEvent(
            "empty",
            f"refund{number}",
            "refund",
            FIRST_MS + DAY_MS,
            changes.get("received_us", 1),
            properties=msgspec.Raw(msgspec.json.encode(properties)),
        )
        values = base | plain | changes | {"revision": 100 + number}
        values.pop("received_us", None)
        row = msgspec.structs.replace(alpha.conversions[0], **values)
        await facts.insert_ndjson("events", encode_rows([event]))
        await facts.insert_ndjson("conversions", encode_rows([row]))
        outcome = (await ask("events/{}", event.event_id, key="empty"))["status"]["refund"]
        assert (outcome["state"], len(outcome["conversions"])) == (state, state not in ("waiting", "no_order"))
        listed = await ask("events", key="empty", awaiting_order="true")
        assert (event.event_id in [item["event_id"] for item in listed["items"]]) == (state == "waiting")
        gone = msgspec.structs.replace(row, revision=200 + number, is_deleted=True)
        await facts.insert_ndjson("conversions", encode_rows([gone]))
        base["conversion_id"] = plain["conversion_id"] = f"cnv_refunded{number}"
    assert (await ask("events/{}", alpha.events[0].event_id))["status"]["refund"] is None


async def test_each_buyer_of_an_order_gives_back_its_own(ask: Any, alpha: World, facts: ClickHouse) -> None:
    refund = AcceptedEvent(
        "empty", "two-buyers", "refund", FIRST_MS + DAY_MS, 1, properties=msgspec.Raw(b'{"order_id":"T"}')
    )
    first = msgspec.structs.replace(
        alpha.conversions[0],
        app_id="empty", conversion_id="cnv_first", order_id="T", person_key="u:1", value_minor=1_000, currency="CNY",
        converted_at_ms=FIRST_MS - 40 * DAY_MS, refunded_minor=1_000,
    )  # fmt: skip
    second = msgspec.structs.replace(
        first, conversion_id="cnv_second", person_key="u:2", converted_at_ms=FIRST_MS, refunded_minor=0
    )
    await facts.insert_ndjson("events", encode_rows([refund]))
    await facts.insert_ndjson("conversions", encode_rows([first, second]))
    outcome = (await ask("events/{}", "two-buyers", key="empty"))["status"]["refund"]
    assert outcome["state"] == "applied"
    assert [part["conversion_id"] for part in outcome["conversions"]] == ["cnv_second", "cnv_first"]


async def test_the_tables_read_the_order_of_an_event_as_the_stream_does(clickhouse: ClickHouse) -> None:
    given: list[Any] = ["o", "", "订" * 300, 7, -7, 0, 10**18 - 1, 10**18, -(10**18), 1.5, True, None, [], {}, "7 "]
    events = [
        AcceptedEvent(
            "orders", f"o{n:02}", "refund", 1, 1, properties=msgspec.Raw(msgspec.json.encode({"order_id": id_}))
        )
        for n, id_ in enumerate(given)
    ]
    await clickhouse.insert_ndjson("events", encode_rows(events))
    rows = await clickhouse.query_bytes(
        f"SELECT {ORDER_ID} AS id FROM events WHERE app_id = 'orders' ORDER BY event_id"
    )
    found = [msgspec.json.decode(line)["id"] for line in rows.splitlines()]
    assert found == [order_id_of({"order_id": id_}) for id_ in given]


async def test_refunds_without_an_order_are_counted(alpha: World, clickhouse: ClickHouse) -> None:
    def refund(number: int, received_us: int, properties: bytes) -> AcceptedEvent:
        return AcceptedEvent("count", f"c{number}", "refund", FIRST_MS, received_us, properties=msgspec.Raw(properties))

    given = [(5, b'{"order_id":"known"}'), (6, b'{"order_id":"unknown"}'), (7, b"{}"), (99, b"{}")]
    await clickhouse.insert_ndjson("events", encode_rows([refund(n, *one) for n, one in enumerate(given)]))
    known = msgspec.structs.replace(alpha.conversions[0], app_id="count", order_id="known", is_deleted=False)
    await clickhouse.insert_ndjson("conversions", encode_rows([known]))
    counts = await ledger_counts(clickhouse, 4, 5, 99)
    assert [(row.app_id, row.count) for row in counts["without_order"] if row.app_id == "count"] == [("count", 2)]
