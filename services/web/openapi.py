"""The envelope in an OpenAPI document: schemas of both shapes, errors of a route, and what all routes have alike."""

from collections.abc import Iterator
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
from fastapi import FastAPI
from pydantic import BaseModel

from schemas.errors import ErrorCode
from services.web.errors import Error
from services.web.middleware import REQUEST_ID_PATTERN

DataT = TypeVar("DataT")
Document = dict[str, Any]

_PARAMETERS: Final[Document] = {
    "AcceptLanguage": {
        "name": "Accept-Language",
        "in": "header",
        "schema": {"type": "string"},
        "description": "Language of error messages: `zh` (default) or `en`.",
        "example": "en",
    },
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "schema": {"type": "string"},
        "description": "Names this request in our logs and in the answer: up to 128 printable ASCII characters, "
        "no blanks. Without one that is fit for that, we make one up.",
        "example": "checkout-7f3a",
    },
}
_HEADERS: Final[Document] = {
    "RequestId": {
        "required": True,
        "schema": {"type": "string", "pattern": REQUEST_ID_PATTERN},
        "description": "The request's id: yours, or one of ours.",
    },
    "RetryAfter": {
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "description": "Seconds after which to send the same request again.",
    },
    "Challenge": {
        "required": True,
        "schema": {"type": "string", "pattern": "^Bearer "},
        "description": "How to authenticate: with a key as bearer token.",
    },
    "RateLimitLimit": {
        "schema": {"type": "integer", "minimum": 1},
        "description": "Limited plans only: requests the app may make in the present window, a UTC day or, for "
        "validations, a second.",
    },
    "RateLimitRemaining": {
        "schema": {"type": "integer", "minimum": 0},
        "description": "Limited plans only: how many of them are left.",
    },
    "RateLimitReset": {
        "schema": {"type": "integer", "minimum": 1},
        "description": "Limited plans only: seconds until a new window begins.",
    },
    "Allow": {"required": True, "schema": {"type": "string"}, "description": "The path's methods."},
}
_ERROR_HEADERS: Final[dict[ErrorCode, dict[str, str]]] = {
    ErrorCode.INVALID_API_KEY: {"WWW-Authenticate": "Challenge"},
    ErrorCode.METHOD_NOT_ALLOWED: {"Allow": "Allow"},
    ErrorCode.RATE_LIMIT_EXCEEDED: {"Retry-After": "RetryAfter"},
    ErrorCode.SERVER_ERROR: {"Retry-After": "RetryAfter"},
}
_ANSWER_HEADERS: Final = {
    "X-Request-Id": "RequestId",
    "RateLimit-Limit": "RateLimitLimit",
    "RateLimit-Remaining": "RateLimitRemaining",
    "RateLimit-Reset": "RateLimitReset",
}
"""Headers of every answer."""
_EXAMPLE_DETAILS: Final[dict[ErrorCode, Document]] = {
    ErrorCode.INVALID_API_KEY: {"reason": "没有这个 Key"},
    ErrorCode.FORBIDDEN: {"required_scope": "read"},
    ErrorCode.MISSING_REQUIRED_FIELD: {"field": "events[3].event_name"},
    ErrorCode.INVALID_EVENT_NAME: {"field": "event_name", "value": "APP INSTALL", "suggestion": "app_install"},
    ErrorCode.INVALID_PARAMETER: {"field": "limit", "reason": "不能大于 1000"},
    ErrorCode.PAYLOAD_TOO_LARGE: {"field": "body", "reason": "单个事件不能超过 32 KB", "limit": 32768, "actual": 40000},
    ErrorCode.METHOD_NOT_ALLOWED: {"allowed": ["GET"]},
    ErrorCode.RATE_LIMIT_EXCEEDED: {"limit": 1000, "plan": "free", "reset_at": "2024-01-16T00:00:00Z"},
    ErrorCode.SERVER_ERROR: {"request_id": "req_0f8fad5bd9cb469fa1657086"},
}


class Envelope(BaseModel, Generic[DataT]):
    """Every success."""

    success: Literal[True]
    data: DataT


REF: Final = "#/components/schemas/"


def schemas_of(*types: type[msgspec.Struct]) -> Document:
    """Return the schemas of structs that are sent, and of all they hold, by name."""
    _, components = msgspec.json.schema_components(types, ref_template=REF + "{name}")
    return {name: _as_sent(schema) for name, schema in components.items()}


def _as_sent(schema: Any) -> Any:
    """Correct what generators of clients would get wrong: a field with a default counts as always present, an object
    of which no more is said as empty, an enumeration as of any type. And decimals are sent as numbers.
    """
    if isinstance(schema, list):
        return [_as_sent(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _as_sent(value) for key, value in schema.items() if key != "default"}
    if kept.get("format") == "decimal":
        del kept["format"]
        return kept | {"type": "number"}
    if "enum" in kept:
        return kept | {"type": "string"}
    return {"additionalProperties": True} | kept if kept.get("type") == "object" and "properties" not in kept else kept


def envelope(is_success: bool, member: str, schema: Document, **more: Any) -> Document:
    """Return the schema of an answer whose `member` is of `schema`; `more`: its title, description or examples."""
    members = {"success": {"type": "boolean", "const": is_success}, member: schema}
    return {"type": "object", "properties": members, "required": list(members)} | more


_SCHEMAS: Final = schemas_of(Error) | {
    "ErrorResponse": envelope(
        False, "error", {"$ref": REF + "Error"}, title="ErrorResponse", description="Every failure."
    )
}


def error_responses(*codes: ErrorCode) -> dict[int | str, Document]:
    """Return FastAPI's `responses`: the envelope per status, an example per code."""
    responses: dict[int | str, Document] = {}
    for code in codes:
        add_error(responses.setdefault(code.status, error_response()), code)
    return responses


def error_response(*codes: ErrorCode) -> Document:
    """Return a response object of these codes, which share a status."""
    content = {"application/json": {"schema": {"$ref": REF + "ErrorResponse"}, "examples": {}}}
    described: Document = {"description": "", "content": content, "headers": {}}
    for code in codes:
        add_error(described, code)
    return described


def add_error(described: Document, code: ErrorCode) -> None:
    described["description"] = ", ".join(filter(None, (described["description"], code.value)))
    details = _EXAMPLE_DETAILS.get(code, {})
    told = " ".join(filter(None, (details.get("field"), details.get("reason"))))
    error = {"code": code.value, "message": "：".join(filter(None, (code.message("zh"), told))), "details": details}
    described["content"]["application/json"]["examples"][code.value] = {"value": {"success": False, "error": error}}
    for name, component in _ERROR_HEADERS.get(code, {}).items():
        described["headers"][name] = {"$ref": f"#/components/headers/{component}"}


def complete(document: Document) -> None:
    """Add what holds for every operation: the headers of all requests and answers, and the schema of errors."""
    for operation in _operations(document):
        known = {parameter.get("name") for parameter in operation.setdefault("parameters", [])}
        operation["parameters"] += [
            {"$ref": f"#/components/parameters/{name}"}
            for name, parameter in _PARAMETERS.items()
            if parameter["name"] not in known
        ]
        for response in operation["responses"].values():
            headers = response.setdefault("headers", {})
            headers |= {name: {"$ref": f"#/components/headers/{header}"} for name, header in _ANSWER_HEADERS.items()}
    components = document.setdefault("components", {})
    components["schemas"] = _SCHEMAS | components.get("schemas", {})
    components["parameters"] = _PARAMETERS | components.get("parameters", {})
    components["headers"] = _HEADERS | components.get("headers", {})


def _operations(document: Document) -> Iterator[Document]:
    for item in document["paths"].values():
        yield from item.values()


def complete_document(app: FastAPI) -> None:
    """Let `app` give its document completed, and without what FastAPI says that does not hold for us."""
    generate = app.openapi

    def openapi() -> Document:
        if not app.openapi_schema:
            document = generate()
            _correct(document)
            complete(document)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _correct(document: Document) -> None:
    """FastAPI documents a 422 for every route with parameters; ours answer 400 in the envelope. And it lets an optional
    parameter of a query string be null, which a query string cannot say."""
    for operation in _operations(document):
        operation["responses"].pop("422", None)
        for parameter in operation.get("parameters", ()):
            _without_null(parameter["schema"])
    for name in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)


def _without_null(schema: Document) -> None:
    choices = [choice for choice in schema.pop("anyOf", ()) if choice != {"type": "null"}]
    schema |= choices[0] | schema if len(choices) == 1 else {"anyOf": choices} if choices else {}
