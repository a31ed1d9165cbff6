"""Errors of a Starlette or FastAPI application as envelopes: its own, the framework's, and the router's 404 and 405."""

from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.runtime.http.envelope import ApiError, failure_body, invalid_parameter, language_of, success_body
from pipeline.runtime.http.middleware import CRASH_RETRY_AFTER_SECONDS, request_id_of
from schemas.errors import ErrorCode

JSON_MEDIA_TYPE = "application/json"


def success_response(data: Any, status_code: int = 200) -> Response:
    return Response(success_body(data), status_code, media_type=JSON_MEDIA_TYPE)


def error_response(request: Request, error: ApiError) -> Response:
    """The envelope in the caller's language. A SERVER_ERROR always names the request and when to come back."""
    details, headers = error.details, error.headers
    if error.code is ErrorCode.SERVER_ERROR:
        details = {"request_id": request_id_of(request.scope)} | details
        headers = {"Retry-After": str(CRASH_RETRY_AFTER_SECONDS)} | headers
    body = failure_body(error.code, language_of(request.headers.get("Accept-Language", "")), details)
    return Response(body, error.code.status, headers, JSON_MEDIA_TYPE)


def install_handlers(app: Starlette) -> None:
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_response(request, error)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return error_response(request, validation_error(error.errors()[0]))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(request, http_error(error))


def validation_error(first: dict[str, Any]) -> ApiError:
    """`first`: an entry of pydantic's `errors()`; its `loc` starts with `query`, `path`, `header` or `body`."""
    field = field_path(first["loc"][1:])
    if first["type"] == "missing":
        return ApiError(ErrorCode.MISSING_REQUIRED_FIELD, {"field": field})
    if first["type"] == "extra_forbidden":
        return invalid_parameter(field, "there is no such parameter")
    return invalid_parameter(field, first["msg"].removeprefix("Value error, "))


def field_path(parts: tuple[str | int, ...]) -> str:
    """`("events", 3, "event_name")` → `events[3].event_name`."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else ("." if path else "") + part
    return path


def http_error(error: HTTPException) -> ApiError:
    """What the framework itself raises: no such route, wrong method, an unreadable request."""
    if error.status_code == 404:
        return ApiError(ErrorCode.NOT_FOUND)
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        allowed = sorted(method.strip() for method in allow.split(",") if method.strip())
        return ApiError(ErrorCode.METHOD_NOT_ALLOWED, {"allowed": allowed}, headers={"Allow": ", ".join(allowed)})
    if 400 <= error.status_code < 500:
        return invalid_parameter("request", str(error.detail))
    return ApiError(ErrorCode.SERVER_ERROR)
