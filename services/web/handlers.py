"""Errors of a FastAPI application as envelopes: its own, the framework's validation, and the router's 404 and 405."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from schemas.errors import ErrorCode
from services.web.envelope import Language, Reply, failure, language_of, success
from services.web.errors import ApiError, Text, invalid, missing, no_path, server_error
from services.web.middleware import CRASH_RETRY_AFTER_SECONDS, request_id_of

_REASONS: Final[Mapping[str, Text]] = {
    "bool_parsing": Text("应为 true 或 false", "must be true or false"),
    "decimal_parsing": Text("应为数字", "must be a number"),
    "enum": Text("可选值：{expected}", "must be one of: {expected}"),
    "extra_forbidden": Text("没有这个参数", "there is no such parameter"),
    "finite_number": Text("应为有限的数字", "must be a finite number"),
    "greater_than_equal": Text("不能小于 {ge}", "must not be less than {ge}"),
    "int_parsing": Text("应为整数", "must be a whole number"),
    "int_parsing_size": Text("数字过大", "the number is too large"),
    "less_than_equal": Text("不能大于 {le}", "must not be greater than {le}"),
    "string_pattern_mismatch": Text("格式应为 {pattern}", "must match {pattern}"),
    "string_too_long": Text("最多 {max_length} 个字符", "must have at most {max_length} characters"),
    "string_too_short": Text("不能为空", "must not be empty"),
    "too_long": Text("最多 {max_length} 个值", "must not be given more than {max_length} times"),
}
"""pydantic's error types that a query parameter can meet; others keep pydantic's own words, which are English."""
_NOT_VALID: Final = "值无效"
_BAD_REQUEST: Final = "请求无效"


_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")


def success_response(data: Any, status_code: int = 200) -> Response:
    return response_of(success(status_code, data))


def error_response(request: Request, error: ApiError) -> Response:
    """The envelope in the caller's language. A SERVER_ERROR always names the request and when to come back."""
    if error.code is ErrorCode.SERVER_ERROR:
        error = error.within_request(request_id_of(request.scope))
    return response_of(failure(error, request_language(request)))


def response_of(reply: Reply) -> Response:
    response = Response(reply.body, reply.status)
    response.raw_headers.extend(reply.headers)
    return response


def request_language(request: Request) -> Language:
    return language_of(request.headers.get("Accept-Language", "").encode("latin-1", "replace"))


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
    allowed = _allowed_methods(request) if error.status_code == 405 else set()
    return error_response(request, method_not_allowed(list(allowed)) if allowed else http_error(error))


def _allowed_methods(request: Request) -> set[str]:
    """Return the methods of the path. The router names only those of the first route that has it."""
    routes = request.app.routes
    return {
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    }


def validation_error(first: Mapping[str, Any]) -> ApiError:
    """`first`: an entry of pydantic's `errors()`; its `loc` starts with `query`, `path`, `header` or `body`."""
    field = field_path(first["loc"][1:])
    if first["type"] == "missing":
        return missing(field)
    own_words = Text(_NOT_VALID, first["msg"])
    template = _REASONS.get(first["type"], own_words)
    context = first.get("ctx") or {}
    try:
        reason = Text(template.zh.format_map(context), template.en.format_map(context))
    except (KeyError, ValueError, IndexError):
        reason = own_words
    return invalid(field, reason)


def field_path(parts: tuple[str | int, ...]) -> str:
    """`("events", 3, "event_name")` → `events[3].event_name`."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else ("." if path else "") + part
    return path


def http_error(error: HTTPException) -> ApiError:
    """Answer the framework's own errors: no such route, wrong method, an unreadable request."""
    if error.status_code == 404:
        return no_path()
    if error.status_code == 405:
        return method_not_allowed((error.headers or {}).get("Allow", "").replace(",", " ").split())
    if 400 <= error.status_code < 500:
        return invalid("request", Text(_BAD_REQUEST, str(error.detail)))
    return server_error(CRASH_RETRY_AFTER_SECONDS)


def method_not_allowed(allowed: list[str]) -> ApiError:
    methods = sorted(set(allowed))
    header = (b"allow", ", ".join(methods).encode())
    return ApiError(ErrorCode.METHOD_NOT_ALLOWED, headers=(header,), allowed=methods)
