"""A declared field of the context needs no more than its declaration: it is decoded, stored and described by it."""

import json
from typing import Any

import msgspec
import pytest

from schemas.control import PrivacySettings
from schemas.events import FIELDS, AcceptedEvent, EventField
from services.gateway.openapi import own_document
from services.gateway.privacy import Privacy
from services.gateway.validate import Receipt, check_event

SENT = [one for one in FIELDS if one.shown.is_sent]
PLAIN = [one for one in SENT if not one.shown.has_rule]
"""Stored as they are sent."""


def nested(path: str, value: Any) -> Any:
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def check(receipt: Receipt, event: dict[str, Any]) -> AcceptedEvent:
    return check_event(json.dumps({"event_name": "page_view"} | event).encode(), receipt)


@pytest.mark.parametrize("field", PLAIN, ids=lambda field: field.name)
def test_a_field_is_stored_as_it_is_sent(receipt: Receipt, field: EventField) -> None:
    stored = check(receipt, nested(field.shown.path, "some text"))
    assert [one.name for one in FIELDS if getattr(stored, one.name) == "some text"] == [field.name]


@pytest.mark.parametrize("field", [one for one in PLAIN if one.shown.or_property], ids=lambda field: field.name)
def test_a_property_stands_for_a_field(receipt: Receipt, field: EventField) -> None:
    properties = {"properties": {field.shown.or_property: "some text"}}
    assert getattr(check(receipt, properties), field.name) == "some text"
    assert getattr(check(receipt, properties | nested(field.shown.path, "other")), field.name) == "other"
    assert getattr(check(receipt, {"properties": {field.shown.or_property: 5}}), field.name) == ""


@pytest.mark.parametrize("context", [None, {}, {"page": None}, {"campaign": None, "page": {"url": None}}])
def test_nulls_are_as_good_as_absent(receipt: Receipt, context: Any) -> None:
    stored = check(receipt, {"context": context})
    assert all(getattr(stored, one.name) == "" for one in PLAIN)


@pytest.mark.parametrize("field", SENT, ids=lambda field: field.name)
def test_a_field_is_described(field: EventField) -> None:
    schemas = own_document("1")["components"]["schemas"]
    *_, owner, name = field.shown.path.split(".")
    assert schemas[owner.title()]["properties"][name].get("description", "") == field.shown.description


@pytest.mark.parametrize("field", [one for one in PLAIN if one.shown.is_url], ids=lambda field: field.name)
def test_an_address_is_cleaned_as_the_app_says(receipt: Receipt, field: EventField) -> None:
    private = msgspec.structs.replace(receipt, privacy=Privacy(PrivacySettings()))
    stored = check(private, nested(field.shown.path, "https://a.example/?token=x&b=1"))
    assert getattr(stored, field.name) == "https://a.example/?b=1"
