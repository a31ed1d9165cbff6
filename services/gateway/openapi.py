"""The OpenAPI document: the gateway's own part, and the query service's merged into it. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from schemas.errors import ErrorCode
from services.gateway import models

Document = dict[str, Any]

_REF: Final = "#/components/schemas/"
_REFS: Final = _REF + "{model}"
_SECURITY: Final[list[dict[str, list[str]]]] = [{"apiKey": []}]
_DESCRIPTION: Final = (
    "First-party attribution. Every answer is `{success, data}` or `{success, error}`; "
    "messages follow `Accept-Language` (`zh` by default, or `en`); `X-Request-Id` is taken and returned.\n\n"
    "**A 2xx means that the events are safe** (acknowledged by all in-sync replicas). After a 500 they may or may not "
    "be: send them again with the same `event_id` once `Retry-After` has passed, and they are counted once."
)
_CODES: Final[dict[str, str]] = {
    "400": "MISSING_REQUIRED_FIELD, INVALID_EVENT_NAME, INVALID_PARAMETER or PAYLOAD_TOO_LARGE",
    "401": ErrorCode.INVALID_API_KEY.value,
    "403": ErrorCode.FORBIDDEN.value,
    "500": "SERVER_ERROR, with Retry-After: the broker did not acknowledge, or too much is waiting",
}


def own_document(version: str) -> Document:
    """What the gateway itself answers under `/v1`."""
    described: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (models.Event, "validation"),
        (models.Batch, "validation"),
    ]
    answers = (models.TrackResponse, models.BatchResponse, models.ValidationResponse, models.ErrorResponse)
    described += [(model, "serialization") for model in answers]
    _, definitions = models_json_schema(described, ref_template=_REFS)
    return {
        "openapi": "3.1.0",
        "info": {"title": "AttriKit API", "version": version, "description": _DESCRIPTION},
        "paths": {
            "/v1/events/track": {"post": _track()},
            "/v1/events/batch": {"post": _batch()},
            "/v1/events/validate": {"post": _validate()},
        },
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation_id: str, summary: str, request: Document, responses: Document) -> Document:
    errors = {status: _json(codes, "ErrorResponse", with_retry=status == "500") for status, codes in _CODES.items()}
    return {
        "tags": ["events"],
        "operationId": operation_id,
        "summary": summary,
        "security": _SECURITY,
        "parameters": [_LANGUAGE, _ENCODING],
        "requestBody": {"required": True, "content": request},
        "responses": responses | errors,
    }


_LANGUAGE: Final[Document] = {
    "name": "Accept-Language",
    "in": "header",
    "schema": {"type": "string"},
    "description": "Language of error messages: `zh` (default) or `en`.",
}
_ENCODING: Final[Document] = {
    "name": "Content-Encoding",
    "in": "header",
    "schema": {"type": "string", "enum": ["identity", "gzip", "deflate", "br", "zstd"]},
    "description": "Coding of the body. Limits hold before and after it is undone.",
}
_RESULTS: Final[Document] = {
    "name": "results",
    "in": "query",
    "schema": {"type": "string", "enum": ["all", "errors"], "default": "all"},
    "description": "`errors` lists only the events that were not accepted.",
}
_RETRY_HEADER: Final[Document] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
_NDJSON: Final[Document] = {
    "application/x-ndjson": {
        "schema": {"type": "string", "description": "One event per line."},
        "example": '{"event_name":"page_view"}\n{"event_name":"purchase","properties":{"revenue":19.99}}\n',
    }
}


def _schema(model: str) -> Document:
    return {"application/json": {"schema": {"$ref": _REF + model}}}


def _json(description: str, model: str, with_retry: bool = False) -> Document:
    response: Document = {"description": description, "content": _schema(model)}
    return response | {"headers": _RETRY_HEADER} if with_retry else response


def _track() -> Document:
    responses = {"201": _json("Stored: acknowledged by the broker", "TrackResponse")}
    return _operation("track_event", "上报单个事件 · Report one event", _schema("Event"), responses)


def _batch() -> Document:
    responses = {
        "201": _json("At least one event was stored; each has its result", "BatchResponse"),
        "200": _json("No event was accepted; each has its error", "BatchResponse"),
    }
    request = _schema("Batch") | _NDJSON
    operation = _operation("track_batch", "批量上报事件 · Report up to 1,000 events", request, responses)
    operation["parameters"] = [*operation["parameters"], _RESULTS]
    return operation


def _validate() -> Document:
    either = {"oneOf": [{"$ref": _REF + "Batch"}, {"$ref": _REF + "Event"}]}
    request = {"application/json": {"schema": either}} | _NDJSON
    responses = {"200": _json("What would be stored, and what is wrong", "ValidationResponse")}
    return _operation("validate_events", "验证事件数据格式 · Check events, store nothing", request, responses)


def merge(own: Document, other: Mapping[str, Any]) -> Document:
    """`own` with the paths and components of `other`. Where both define a path, `own` stands; a component of `other`
    whose name is taken by a different one is renamed `Query…`."""
    schemas = own["components"]["schemas"]
    theirs = other.get("components", {}).get("schemas", {})
    renames = {name: "Query" + name for name, schema in theirs.items() if schemas.get(name, schema) != schema}
    paths = {path: item for path, item in other.get("paths", {}).items() if path.startswith("/v1/")}
    renamed = {renames.get(name, name): _renamed(schema, renames) for name, schema in theirs.items()}
    components = _other_components(own["components"], other.get("components", {}))
    return own | {
        "paths": _merged_paths(own["paths"], _renamed(paths, renames)),
        "components": components | {"schemas": schemas | renamed},
    }


def _merged_paths(own: Document, theirs: Document) -> Document:
    return theirs | {path: theirs.get(path, {}) | item for path, item in own.items()}


def _other_components(own: Document, theirs: Mapping[str, Any]) -> Document:
    kinds = own.keys() | theirs.keys()
    return {kind: theirs.get(kind, {}) | own.get(kind, {}) for kind in sorted(kinds)}


def _renamed(value: Any, renames: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed_entry(key, item, renames) for key, item in value.items()}
    return [_renamed(item, renames) for item in value] if isinstance(value, list) else value


def _renamed_entry(key: str, item: Any, renames: Mapping[str, str]) -> Any:
    if key == "$ref" and isinstance(item, str):
        name = item.removeprefix(_REF)
        return _REF + renames[name] if name in renames else item
    return _renamed(item, renames)
