"""Refused events: in groups, mended, tried and sent again through the gateway, over a console with its reads."""

import asyncio
import json
from importlib import import_module
from typing import Any
from urllib.parse import quote

import pytest
from console_reads import entries_of, records_of
from console_world import FOREIGN_APP, OWN_APP, ConsoleWorld, Visitor
from markupsafe import escape

from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import now_ms
from schemas.errors import ErrorCode
from schemas.facts import RejectedRow, encode_rows
from schemas.topics import Topic
from services.web import event_reasons
from services.web.errors import Text
from services.web.event_reasons import INVALID_ROW, not_json_at, too_old

REJECTED = f"/apps/{OWN_APP}/rejected"
NAMED = "The event name is invalid; use snake_case"
REASONS = [(code.value, Text(code.message("zh"), code.message("en"))) for code in ErrorCode]
REASONS += [(ErrorCode.INVALID_PARAMETER.value, one) for one in vars(event_reasons).values() if isinstance(one, Text)]
REASONS += [
    (ErrorCode.INVALID_PARAMETER.value, one) for one in (too_old(30), not_json_at("no digit after sign", 1, 2, 1))
]
REASONS += [(INVALID_ROW, Text("数据库拒绝了该行：events: Cannot parse", "events: Cannot parse"))]
CODES = sorted({code for code, _ in REASONS})


def row(number: int, code: str, field: str, reason: str, payload: Any) -> RejectedRow:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return RejectedRow(OWN_APP, f"rej_{number}", now_ms() - number, "gateway", code, field, reason, text)


@pytest.fixture(scope="module", autouse=True)
def refused(tables: ClickHouse) -> None:
    """Three orders of a wrong name, one of them hopeless; two events whose name and person have wrong fields."""
    order = {"event_name": "Order Paid!", "user_id": "u-replayed", "properties": {"revenue": 5}}
    rows = [
        row(1, "INVALID_EVENT_NAME", "event_name", NAMED, order | {"event_id": "own-id"}),
        row(2, "INVALID_EVENT_NAME", "events[7].event_name", NAMED, order),
        row(3, "INVALID_EVENT_NAME", "events[9].event_name", NAMED, order | {"user_id": "undefined"}),
        row(4, "MISSING_REQUIRED_FIELD", "event_name", "it is missing", {"event": "Big Deal", "userId": "u-moved"}),
        row(5, "INVALID_PARAMETER", "body", "it is no JSON", "{"),
    ]
    rows += [row(1000 + number, code, "", reason.en, "{}") for number, (code, reason) in enumerate(REASONS)]
    asyncio.run(tables.insert_ndjson("rejected", encode_rows(rows)))


def address(**group: str) -> str:
    return REJECTED + "/mend?" + "&".join(f"{name}={value}" for name, value in group.items())


ORDERS = address(
    code="INVALID_EVENT_NAME", field="event_name", reason=NAMED.replace(";", "%3B"), event_name="Order Paid!"
)
MOVED = address(code="MISSING_REQUIRED_FIELD", field="event_name")
NO_MEND = {"new_name": "", "from_path": "", "to_path": "", "drop": ""}


def sent(console: ConsoleWorld, user_id: str) -> list[dict[str, Any]]:
    """The events of a person that the gateway has written."""
    lines = b"".join(records_of(console.settings, Topic.EVENTS)).splitlines()
    return [one for one in map(json.loads, lines) if one.get("user_id") == user_id]


def test_refused_events_are_grouped_with_their_likely_mend(mia: Visitor) -> None:
    page = mia.get(REJECTED).text
    assert page.count("Order Paid!") >= 2
    assert "order_paid" in page, "the name that is likely meant"
    assert "Rename the event to a snake_case name." in page
    assert "code=INVALID_EVENT_NAME&amp;field=event_name" in page


def test_a_body_that_is_no_json_has_no_field_to_leave_out(mia: Visitor) -> None:
    form = mia.get(address(code="INVALID_PARAMETER", field="body", reason="it is no JSON")).text
    assert "Nothing here mends it." in form
    assert 'value="body"' not in form


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_reasons_are_told_in_the_reader_s_language(mia: Visitor, code: str, language: str) -> None:
    page = mia.get(f"{REJECTED}?code={code}", **{"Accept-Language": language}).text
    reasons = [reason for its_code, reason in REASONS if its_code == code]
    assert [one for one in reasons if f">{escape(one.in_language(language))}<" not in page] == []
    form = mia.get(address(code=code, reason=quote(reasons[0].en)), **{"Accept-Language": language}).text
    assert f"<p>{escape(reasons[0].in_language(language))}</p>" in form


def test_a_mend_is_tried_then_sent_and_twice_is_as_good_as_once(console: ConsoleWorld, mia: Visitor) -> None:
    form = mia.get(ORDERS).text
    assert 'value="order_paid"' in form
    assert "u-replayed" in form, "what came is shown"
    tried = mia.submit(ORDERS, **NO_MEND | {"new_name": "order_paid"}, do="check").text
    assert "2 of 3 events would be accepted" in tried
    assert "INVALID_PARAMETER user_id" in tried, "what is refused still, and why"
    assert sent(console, "u-replayed") == []
    assert entries_of(console, "rejected.replay") == []
    for _ in range(2):
        done = mia.submit(ORDERS, **NO_MEND | {"new_name": "order_paid"}, do="send").text
        assert "2 of 3 events were accepted" in done
    events = sent(console, "u-replayed")
    assert {one["event_name"] for one in events} == {"order_paid"}
    assert len({one["event_id"] for one in events}) == 2, "the same ids, so the stream counts them once"
    assert "own-id" in {one["event_id"] for one in events}
    entry = entries_of(console, "rejected.replay")[0]
    assert (entry["login"], entry["after"]["accepted"], entry["after"]["refused"]) == ("mia", 2, 1)
    assert "Sent again before" in mia.get(ORDERS).text


def test_fields_are_renamed_and_left_out(console: ConsoleWorld, mia: Visitor) -> None:
    assert 'value="event"' in mia.get(MOVED).text, "the field that is likely meant for the name"
    given = NO_MEND | {"from_path": "event", "to_path": "event_name"}
    tried = mia.submit(MOVED, **given, do="check").text
    assert "0 of 1 events would be accepted" in tried
    done = mia.submit(MOVED, **given | {"new_name": "big_deal"}, do="send").text
    assert "1 of 1 events were accepted" in done
    moved = mia.submit(MOVED, new_name="", from_path="userId", to_path="user_id", drop="event", do="check").text
    assert "0 of 1 events would be accepted" in moved, "it has no name then"


@pytest.mark.parametrize(
    ("given", "told"),
    [({"new_name": "Big Deal"}, "must be snake_case"), ({"from_path": "event"}, "both its path and the new one")],
)
def test_a_mend_that_cannot_be_is_refused_with_what_to_do(mia: Visitor, given: dict[str, str], told: str) -> None:
    answer = mia.submit(MOVED, **NO_MEND | given, do="send")
    assert answer.status_code == 400
    assert told in answer.text


def test_what_is_no_event_cannot_be_sent_again(mia: Visitor) -> None:
    done = mia.submit(address(code="INVALID_PARAMETER", reason="it is no JSON"), **NO_MEND, do="send").text
    assert "0 of 1 events were accepted" in done
    assert "it is no JSON object of one event" in done


def test_the_older_ones_are_the_next_form_s(monkeypatch: pytest.MonkeyPatch, mia: Visitor) -> None:
    rejected = import_module("services.console.pages.rejected")
    monkeypatch.setattr(rejected, "MOST_SENT", 2)
    monkeypatch.setattr(rejected, "_STEP", 2)
    first = mia.submit(ORDERS, **NO_MEND | {"new_name": "order_paid"}, do="check").text
    assert "of 2 events would be accepted" in first
    cursor = first.split('name="cursor" value="')[1].split('"')[0]
    then = mia.submit(ORDERS, **NO_MEND | {"new_name": "order_paid"}, do="check", cursor=cursor).text
    assert "of 1 events would be accepted" in then


def test_sending_again_needs_the_app_and_a_token(console: ConsoleWorld, mia: Visitor) -> None:
    before = len(entries_of(console, "rejected.replay"))
    assert mia.submit(ORDERS.replace(OWN_APP, FOREIGN_APP), **NO_MEND, do="send").status_code == 404
    assert mia.send(ORDERS, **NO_MEND, do="send").status_code == 403
    assert mia.get(address(code="NO_SUCH_CODE")).status_code == 404
    assert len(entries_of(console, "rejected.replay")) == before
