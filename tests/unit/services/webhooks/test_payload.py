"""The body a receiver reads."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from webhook_world import attribution_row, conversion_row

from schemas.control import WebhookEndpoint
from schemas.facts import AlertRow, AttributionRow, encode_rows
from schemas.topics import Topic
from schemas.webhooks import Delivery, EventType, decode_deliveries, encode_delivery
from services.webhook_calls.body import body_of
from services.webhooks.facts import deliveries_of
from services.webhooks.payload import MAX_BODY_BYTES, BadRecord, Fact, facts_of

ENDPOINT = WebhookEndpoint("whe_1", "shop", "https://a.example/", frozenset(EventType), "", created_at_ms=50)


def data_of(fact: Fact) -> dict[str, Any]:
    return msgspec.json.decode(fact.data)


def facts(topic: Topic, *rows: Any) -> list[Fact]:
    return list(facts_of(topic, encode_rows(list(rows))))


def delivery(fact: Fact, endpoint: WebhookEndpoint = ENDPOINT) -> Delivery:
    (found,) = deliveries_of(fact, (endpoint,), recorded_at_ms=1_705_314_601_234, queued_at_ms=1)
    return found


def test_a_conversion_is_told_once_whatever_is_written_about_it_later() -> None:
    first = conversion_row("shop", 1, path_touch_ids=["t1", "t2"])
    later = [conversion_row("shop", 1, reason=reason, revision=9) for reason in ("late_touch", "refund", "")]
    found = facts(Topic.CONVERSIONS, first, *later, conversion_row("shop", 2, is_deleted=True))
    assert [(fact.event_type, fact.fact_id) for fact in found] == [("conversion.created", first.conversion_id)]
    data = data_of(found[0])
    assert data["value"] == 199.99
    assert data["currency"] == "CNY"
    assert data["anonymous_id"] is None
    assert data["is_bot"] is False
    assert [touch["channel"] for touch in data["path"]] == ["paid_search", "direct"]


def test_every_revision_of_credits_is_told_with_what_it_supersedes() -> None:
    rows = [attribution_row("shop", 1, revision) for revision in (1, 2)]
    found = facts(Topic.ATTRIBUTIONS, *rows, attribution_row("shop", 1, 3, is_deleted=True))
    told = [(d["revision"], d["supersedes"], d["reason"], d["is_taken_back"]) for d in map(data_of, found)]
    assert told == [(1, None, "initial", False), (2, 1, "late_touch", False), (3, 2, "late_touch", True)]
    assert len({delivery(fact).delivery_id for fact in found}) == 3


def exact_sums(data: dict[str, Any], model: str) -> tuple[Decimal, Decimal]:
    shares = [entry["models"][model] for entry in data["credits"]]
    return sum(Decimal(str(s["credit"])) for s in shares), sum(Decimal(str(s["value"])) for s in shares)


@pytest.mark.parametrize(("touches", "credited_by"), [(1, "touch"), (3, "touch"), (100, "campaign")])
def test_credits_of_all_models_sum_exactly_in_any_detail(touches: int, credited_by: str) -> None:
    (fact,) = facts(Topic.ATTRIBUTIONS, attribution_row("shop", 1, touches=touches))
    data = data_of(fact)
    assert data["credited_by"] == credited_by
    assert len(data["credits"][0]["models"]) == 6
    for model in data["credits"][0]["models"]:
        assert exact_sums(data, model) == (Decimal(1), Decimal("199.99"))


def worst_attribution() -> AttributionRow:
    """As many touches as there can be, each of a campaign of its own with a long name."""
    row = attribution_row("shop", 1, touches=100)
    return msgspec.structs.replace(row, campaigns=[f"{n}" + "长" * 5_000 for n in range(100)])


def test_nothing_makes_a_body_longer_than_20_kb() -> None:
    long = {"order_id": "\x00" * 32_000, "user_id": "长" * 200, "path_campaigns": ["\x01" * 9_000] * 2}
    for topic, row in (
        (Topic.ATTRIBUTIONS, worst_attribution()),
        (Topic.CONVERSIONS, conversion_row("shop", 1, **long)),
        (
            Topic.CONVERSIONS,
            conversion_row(
                "shop",
                1,
                path_touch_ids=["t" * 64] * 100,
                path_touched_at_ms=[1] * 100,
                path_touch_types=["click"] * 100,
                path_channels=["paid_search"] * 100,
                path_sources=["\x01" * 500] * 100,
                path_mediums=["m"] * 100,
                path_campaigns=["\x01" * 500] * 100,
            ),
        ),
    ):
        (fact,) = facts(topic, row)
        assert len(body_of(delivery(fact))) <= MAX_BODY_BYTES
    assert data_of(next(iter(facts(Topic.ATTRIBUTIONS, worst_attribution()))))["credited_by"] == "channel"


def test_an_alert_is_told_as_it_is() -> None:
    row = AlertRow(
        "shop", "alr_1", "rule_1", "few events", "events", "", "below_average", 50.0, 12.0, 100.0, "events", "began",
        0, 3_600_000, 3_600_000, 3_600_123,
    )  # fmt: skip
    (fact,) = facts(Topic.ALERTS, row)
    assert fact.event_type is EventType.THRESHOLD_ALERT
    data = data_of(fact)
    assert (data["state"], data["value"], data["average"], data["subject"]) == ("began", 12.0, 100.0, None)
    assert data["window_end"] == "1970-01-01T01:00:00.000Z"


def test_the_body_is_the_envelope_and_the_same_every_time() -> None:
    (fact,) = facts(Topic.CONVERSIONS, conversion_row("shop", 1))
    one = delivery(fact)
    one.sequence = 7
    body = body_of(one)
    assert body == body_of(decode_deliveries(encode_delivery(one) + b"\n")[0])
    message = msgspec.json.decode(body)
    assert list(message) == ["id", "type", "created_at", "app_id", "sequence", "data"]
    assert (message["created_at"], message["sequence"]) == ("2024-01-15T10:30:01.234Z", 7)


def test_an_id_is_a_function_of_endpoint_and_fact() -> None:
    (fact,) = facts(Topic.ATTRIBUTIONS, attribution_row("shop", 1))
    other = WebhookEndpoint("whe_2", "shop", "https://a.example/", frozenset(EventType), "", 0)
    assert delivery(fact).delivery_id == delivery(fact).delivery_id
    assert delivery(fact).delivery_id != delivery(fact, other).delivery_id


def test_an_endpoint_gets_what_it_asked_for_and_nothing_older_than_itself() -> None:
    (fact,) = facts(Topic.CONVERSIONS, conversion_row("shop", 1))
    only_alerts = WebhookEndpoint("whe_3", "shop", "", frozenset({EventType.THRESHOLD_ALERT}), "", 0)
    assert not list(deliveries_of(fact, (only_alerts,), 100, 100))
    assert not list(deliveries_of(fact, (ENDPOINT,), 49, 100))
    assert list(deliveries_of(fact, (ENDPOINT,), 50, 100))


def test_what_cannot_be_read_says_so() -> None:
    with pytest.raises(BadRecord):
        facts_of(Topic.CONVERSIONS, b"{").__next__()
    with pytest.raises(BadRecord):
        facts_of(Topic.CONVERSIONS, b'{"app_id":"shop"}\n').__next__()
