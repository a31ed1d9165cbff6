"""Answers and files show every declared field of an event."""

from functools import reduce
from typing import Any

from pydantic import TypeAdapter

from schemas.events import FIELDS, TREE, shown
from services.query.core.sql import columns
from services.query.events.answers import EXAMPLE_LIST, EventList
from services.query.events.statements import EventRow
from services.query.events.view import event_of
from services.query.exports.statements import EVENT_COLUMNS


def at(answer: Any, path: str) -> Any:
    return reduce(lambda part, name: part[name], path.split("."), answer)


def test_an_answer_shows_each_field_at_its_path() -> None:
    values = {one.name: True if one.type is bool else f"the {one.name}" for one in FIELDS}
    answer = event_of(EventRow("shop", "e1", "page_view", 1, 1000, **values), "UTC")
    assert {one.name: at(answer, one.shown.path) for one in FIELDS} == values


def test_an_empty_text_is_null_and_a_flag_is_not() -> None:
    answer = event_of(EventRow("shop", "e1", "page_view", 1, 1000), "UTC")
    assert {one.name: at(answer, one.shown.path) for one in FIELDS} == {
        one.name: False if one.type is bool else None for one in FIELDS
    }


def test_the_statement_reads_and_the_file_has_each_field() -> None:
    names = {one.name for one in FIELDS}
    assert names <= set(columns(EventRow).split(", "))
    assert names <= {column.name for column in EVENT_COLUMNS}


def test_the_document_describes_each_field() -> None:
    schema = TypeAdapter(EventList).json_schema()["$defs"]
    assert schema["Event"]["properties"].keys() == EXAMPLE_LIST["items"][0].keys()
    assert schema["Context"]["properties"].keys() == TREE["context"].keys()
    assert shown(lambda one: one.name)["context"]["page"]["url"] == "page_url"
