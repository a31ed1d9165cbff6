"""The document: valid, true to the validator, and readable without a network."""

import json
import re
from copy import deepcopy
from typing import Any

import httpx
import pytest

from pipeline.domain import preview
from services.gateway import answers, event_fields, models, visitors
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
    ("model", "struct"),
    [
        (models.Event, event_fields.IncomingEvent),
        (models.Context, event_fields.IncomingContext),
        (models.Tracked, answers.Tracked),
        (models.BatchResult, answers.BatchResult),
        (models.EventResult, answers.EventResult),
        (models.Validation, answers.Validation),
        (models.VisitorAnswer, visitors.VisitorAnswer),
        (models.EventError, answers.EventError),
        (models.NormalizedEvent, answers.NormalizedEvent),
        (models.MetGoal, preview.MetGoal),
    ],
)
def test_the_documented_fields_are_the_real_ones(model: Any, struct: Any) -> None:
    assert set(model.model_fields) == set(struct.__struct_fields__)


ANSWERS = [
    ("/v1/events/track", {"event_name": "a"}, models.TrackResponse),
    ("/v1/events/track", {"event_name": "A"}, models.ErrorResponse),
    ("/v1/events/batch", {"events": [{"event_name": "a"}, {"event_name": "A"}]}, models.BatchResponse),
    ("/v1/events/validate", {"events": [{"event_name": "a"}, {}]}, models.ValidationResponse),
    ("/v1/visitor", {"visitor_id": "vis_0001"}, models.VisitorResponse),
]


@pytest.mark.parametrize(("path", "body", "model"), ANSWERS)
async def test_answers_fit_their_models(client: httpx.AsyncClient, path: str, body: Any, model: Any) -> None:
    answer = (await client.post(path, json=body)).content
    model.model_validate_json(answer, strict=True, extra="forbid")


def test_the_documented_example_of_validate_fits_its_model() -> None:
    (example,) = models.ValidationResponse.model_config["json_schema_extra"]["examples"]
    models.ValidationResponse.model_validate_json(json.dumps(example), strict=True, extra="forbid")


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
