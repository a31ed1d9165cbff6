"""The document: valid, true to the validator, and readable without a network."""

import re
from copy import deepcopy
from typing import Any

import httpx
import jsonschema
import pytest

from services.gateway import event_fields
from services.gateway.body_schemas import body_schemas
from services.gateway.openapi import merge, own_document


def refs(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(refs(item) for item in value.values()))
    return set().union(*(refs(item) for item in value)) if isinstance(value, list) else set()


def test_every_reference_leads_somewhere() -> None:
    document = own_document("1")
    names = {f"#/components/{kind}/{name}" for kind, named in document["components"].items() for name in named}
    assert refs(document) <= names


@pytest.mark.parametrize(
    ("name", "struct"), [("Event", event_fields.IncomingEvent), ("Context", event_fields.IncomingContext)]
)
def test_the_documented_fields_of_an_event_are_those_that_are_read(name: str, struct: Any) -> None:
    assert set(body_schemas()[name]["properties"]) == set(struct.__struct_fields__)


def assert_fits(answer: Any, name: str) -> None:
    """`answer` is of the component `name`, and every object in it has the fields that are described, and no others."""
    components = deepcopy(own_document("1")["components"])
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    schema = {"$ref": f"#/components/schemas/{name}", "components": components}
    jsonschema.validate(answer, schema, jsonschema.Draft202012Validator, format_checker=jsonschema.FormatChecker())


ANSWERS = [
    ("/v1/events/track", {"event_name": "a"}, "TrackResponse"),
    ("/v1/events/track", {"event_name": "a", "user_id": "u", "userId": "u"}, "TrackResponse"),
    ("/v1/events/track", {"event_name": "A"}, "ErrorResponse"),
    ("/v1/events/batch", {"events": [{"event_name": "a"}, {"event_name": "A"}]}, "BatchResponse"),
    ("/v1/events/batch", {"events": [{"event_name": "a"}]}, "BatchResponse"),
    ("/v1/events/validate", {"events": [{"event_name": "a"}, {}]}, "ValidationResponse"),
    (
        "/v1/events/validate",
        {"event_name": "purchase", "user_id": "u", "properties": {"revenue": 1.5}},
        "ValidationResponse",
    ),
    ("/v1/visitor", {"visitor_id": "vis_0001"}, "VisitorResponse"),
]


@pytest.mark.parametrize(("path", "body", "name"), ANSWERS)
async def test_answers_fit_their_schemas(client: httpx.AsyncClient, path: str, body: Any, name: str) -> None:
    assert_fits((await client.post(path, json=body)).json(), name)


@pytest.mark.parametrize("name", ["TrackResponse", "ValidationResponse", "VisitorResponse"])
def test_the_documented_examples_of_answers_fit_their_schemas(name: str) -> None:
    (example,) = body_schemas()[name]["examples"]
    assert_fits(example, name)


async def test_the_documents_own_examples_are_accepted(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    (example,) = document["components"]["schemas"]["Event"]["examples"]
    assert (await client.post("/v1/events/track", json=example)).status_code == 201
    lines = document["paths"]["/v1/events/batch"]["post"]["requestBody"]["content"]["application/x-ndjson"]["example"]
    headers = {"Content-Type": "application/x-ndjson"}
    assert (await client.post("/v1/events/batch", content=lines, headers=headers)).status_code == 201


async def test_the_page_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    assert not re.search(r"""(?:src|href|url)\s*[=:]\s*["']?(?:https?:)?//""", page)
    for path in re.findall(r"""(?:src|href)=["']([^"']+)""", page):
        assert (await client.get(path)).status_code == 200


def test_merging_keeps_both_documents_apart() -> None:
    own = own_document("1")
    before = deepcopy(own)
    theirs = {
        "paths": {
            "/v1/users": {"get": {"responses": {"200": {"schema": {"$ref": "#/components/schemas/Event"}}}}},
            "/v1/events/track": {"get": {"summary": "another method"}, "post": {"summary": "loses"}},
            "/healthz": {"get": {}},
        },
        "components": {
            "schemas": {"Event": {"title": "Theirs"}, "Error": own["components"]["schemas"]["Error"], "User": {}},
            "securitySchemes": {"other": {"type": "http"}},
        },
    }
    merged = merge(own, theirs)
    schemas = merged["components"]["schemas"]
    assert schemas["Event"] == own["components"]["schemas"]["Event"]
    assert schemas["QueryEvent"] == {"title": "QueryEvent"}
    assert "QueryError" not in schemas
    assert refs(merged["paths"]["/v1/users"]) == {"#/components/schemas/QueryEvent"}
    assert merged["paths"]["/v1/events/track"]["post"] == own["paths"]["/v1/events/track"]["post"]
    assert merged["paths"]["/v1/events/track"]["get"] == {"summary": "another method"}
    assert "/healthz" not in merged["paths"]
    assert merged["components"]["securitySchemes"].keys() == {"ApiKey", "KeyInUrl", "AppId", "other"}
    assert own == before
