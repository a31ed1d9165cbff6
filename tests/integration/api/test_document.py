"""The OpenAPI document and the services say the same, whatever is sent."""

from collections.abc import Iterator
from itertools import count

import api_document
import httpx
import pytest
from fuzzing import IS_FULL, cases
from schemathesis import Case
from schemathesis.checks import CheckContext
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.transport import Response
from schemathesis.generation.meta import TestPhase
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection
from served_api import SECRET_KEY, ServedApi

EACH_EVENT = {"/v1/events/batch", "/v1/events/validate"}
"""Bad events are answered one by one here, in a success."""

schema = api_document.schema(cases(few=5, full=400))
_walked = count()


@pytest.fixture(scope="module")
def client() -> Iterator[api_document.Client]:
    with api_document.Client() as opened:
        yield opened


@pytest.fixture(autouse=True)
def _nothing_is_kept(served: ServedApi) -> Iterator[None]:
    yield
    served.sink.records.clear()


@schema.parametrize()
def test_anything_the_document_describes(case: Case, served: ServedApi, client: api_document.Client) -> None:
    """All of schemathesis' checks. Most cases walk through the schema, keyword by keyword: the ordinary run takes every
    third of them, and does without the check of authentication there, which sends each request again."""
    is_walk = case.meta is not None and case.meta.phase.name is TestPhase.COVERAGE
    if is_walk and not IS_FULL and next(_walked) % 3:
        return
    api_document.settle(case)
    case.call_and_validate(
        base_url=served.url,
        session=client,
        headers={"Authorization": f"Bearer {SECRET_KEY}"},
        timeout=30,
        excluded_checks=[negative_data_rejection, *([ignored_auth] if is_walk and not IS_FULL else [])],
        additional_checks=[bad_data_is_refused],
    )


def bad_data_is_refused(ctx: CheckContext, response: Response, case: Case) -> None:
    """`negative_data_rejection`, but for events that are refused one by one."""
    are_refused_alone = (
        case.operation.path in EACH_EVENT
        and case.meta is not None
        and case.meta.is_negative_at(ParameterLocation.BODY)
        and response.status_code < 300
    )
    if not are_refused_alone:
        negative_data_rejection(ctx, response, case)
        return
    data = response.json()["data"]
    if not data.get("rejected", len(data.get("errors", ()))):
        raise AcceptedNegativeData(
            operation=case.operation.label,
            message="No event was refused",
            status_code=response.status_code,
            expected_statuses=["400"],
        )


def test_the_document_is_the_one_that_is_served(served: ServedApi) -> None:
    document = httpx.get(served.url + "/openapi.json", trust_env=False).json()
    assert document["paths"] == api_document.document()["paths"]
    assert document["components"] == api_document.document()["components"]


def test_titles_differ_and_no_field_that_may_be_absent_has_a_default() -> None:
    """Generators name classes by titles, and take a field with a default as always present."""
    schemas = api_document.document()["components"]["schemas"]
    titles = [schema["title"] for schema in schemas.values() if "title" in schema]
    assert len(titles) == len(set(titles))
    assert not [name for name in schemas if name.endswith(("-Input", "-Output"))]
    fields = {
        (name, each): field for name, schema in schemas.items() for each, field in schema.get("properties", {}).items()
    }
    assert [place for place, field in fields.items() if "default" in field] == []
