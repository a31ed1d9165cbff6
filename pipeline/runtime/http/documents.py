"""The envelope in an OpenAPI document: models of both shapes, and the errors of a route with their examples."""

from typing import Any, Final, Generic, Literal, TypeVar

from fastapi import FastAPI
from pydantic import BaseModel, Field

from schemas.errors import ErrorCode

DataT = TypeVar("DataT")
_EXAMPLE_DETAILS: Final[dict[ErrorCode, dict[str, Any]]] = {
    ErrorCode.FORBIDDEN: {"required_scope": "read"},
    ErrorCode.INVALID_PARAMETER: {"field": "limit", "reason": "不能大于 1000"},
    ErrorCode.METHOD_NOT_ALLOWED: {"allowed": ["GET"]},
    ErrorCode.SERVER_ERROR: {"request_id": "req_0f8fad5bd9cb469fa16570867728950e"},
}


class Envelope(BaseModel, Generic[DataT]):
    """Every success."""

    success: Literal[True]
    data: DataT


class ErrorInformation(BaseModel):
    code: str = Field(description="What a program acts on; never changes.")
    message: str = Field(description="For people, in Chinese or English by `Accept-Language`.")
    details: dict[str, Any] = Field(description="Depends on the code: `field` and `reason`, `required_scope`, …")


class ErrorEnvelope(BaseModel):
    """Every failure."""

    success: Literal[False]
    error: ErrorInformation


def error_responses(*codes: ErrorCode) -> dict[int | str, dict[str, Any]]:
    """For FastAPI's `responses`: the envelope per status, an example per code."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        described = responses.setdefault(
            code.status,
            {"model": ErrorEnvelope, "description": "", "content": {"application/json": {"examples": {}}}},
        )
        described["description"] = ", ".join(filter(None, (described["description"], code.value)))
        error = {"code": code.value, "message": code.message("zh"), "details": _EXAMPLE_DETAILS.get(code, {})}
        described["content"]["application/json"]["examples"][code.value] = {"value": {"success": False, "error": error}}
    return responses


def leave_out_422(app: FastAPI) -> None:
    """FastAPI documents a 422 for every route with parameters; ours answer 400 in the envelope."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            document = generate()
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                document.get("components", {}).get("schemas", {}).pop(name, None)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
