"""A batch: one bad event costs only itself, and everything that came is accounted for."""

import json

from schemas.errors import ErrorCode
from services.gateway.body_split import Events, parse_batch
from services.gateway.outcomes import Accepted, Duplicate, Rejected, judge, rejected_row
from services.gateway.validate import Receipt

EVENTS = [
    {"event_name": "a", "event_id": "1"},
    {"event_name": "BAD", "event_id": "2"},
    {"event_name": "a", "event_id": "1"},
    {"event_name": "a", "event_id": "2", "user_id": "null"},
    {"event_name": "a", "event_id": "2"},
    5,
    {"event_name": "a"},
    {"event_name": "a"},
]


def test_outcomes_are_the_same_whether_decoded_at_once_or_one_by_one(receipt: Receipt) -> None:
    good = [event for event in EVENTS if isinstance(event, dict) and event["event_name"] == "a"]
    at_once = parse_batch(json.dumps({"events": good}).encode(), b"")
    assert at_once.decoded is not None
    one_by_one = Events(at_once.raw, is_batch=True)
    assert repr(judge(at_once, receipt)) == repr(judge(one_by_one, receipt))


def test_each_event_has_its_own_outcome(receipt: Receipt) -> None:
    outcomes = judge(parse_batch(json.dumps({"events": EVENTS}).encode(), b""), receipt)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Accepted, Rejected, Duplicate, Rejected, Accepted, Rejected, Accepted, Accepted]
    assert [outcome.index for outcome in outcomes] == list(range(8))
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert [(r.event_id, r.error.code, r.error.field) for r in rejected] == [
        ("2", ErrorCode.INVALID_EVENT_NAME, "events[1].event_name"),
        ("2", ErrorCode.INVALID_PARAMETER, "events[3].user_id"),
        (None, ErrorCode.INVALID_PARAMETER, "events[5]"),
    ]


def test_minted_ids_differ_and_stay_in_order(receipt: Receipt) -> None:
    outcomes = judge(Events([b'{"event_name":"a"}'] * 50, is_batch=True), receipt)
    ids = [outcome.event.event_id for outcome in outcomes if isinstance(outcome, Accepted)]
    assert len(set(ids)) == 50
    assert ids == sorted(ids)


def test_a_refusal_as_data(receipt: Receipt) -> None:
    (outcome,) = judge(Events([b'{"event_name":"A","x":"\xff"}'], is_batch=True), receipt)
    assert isinstance(outcome, Rejected)
    row = rejected_row(outcome.error, outcome.payload, receipt, "req_1", outcome.index)
    assert (row.app_id, row.key_id, row.stage) == ("shop", "key_write", "gateway")
    assert (row.code, row.field) == ("INVALID_EVENT_NAME", "events[0].event_name")
    assert row.payload == '{"event_name":"A","x":"\ufffd"}'
    assert row.rejected_at_ms == receipt.received_us // 1000
    assert row.reason
    assert row == rejected_row(outcome.error, outcome.payload, receipt, "req_1", 0)
    assert row.reject_id != rejected_row(outcome.error, outcome.payload, receipt, "req_1", 1).reject_id
