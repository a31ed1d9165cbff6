"""Routers of the API, and what all their routes have in common: prefix, key, errors, no parameter given twice."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, get_origin

from fastapi import APIRouter, Depends, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from schemas.errors import ErrorCode
from services.query.core.calls import Key
from services.query.core.parameters import Parameters
from services.web.errors import Text, invalid
from services.web.openapi import Envelope, error_responses

NOT_FOUND: Final = error_responses(ErrorCode.NOT_FOUND)
_key_scheme = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="A key with the scope `read`.")


def refuse_repeats(request: Request, _caller: Key) -> None:
    """Refuse parameters given twice: one of the two values would be silently ignored."""
    repeatable: frozenset[str] = request.app.state.repeatable_parameters
    given = Counter(name for name, _value in request.query_params.multi_items() if name not in repeatable)
    for name, count in given.items():
        if count > 1:
            raise invalid(name[:100], Text("重复给出", "is given more than once"))


def repeatable_parameters(routers: Iterable[APIRouter]) -> frozenset[str]:
    """Return the parameters of any route that may be given several times: those that are tuples."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    models = {field.field_info.annotation for route in routes for field in route.dependant.query_params}
    return frozenset(
        field.alias or name
        for model in models
        if isinstance(model, type) and issubclass(model, Parameters)
        for name, field in model.model_fields.items()
        if get_origin(field.annotation) is tuple
    )


def new_router() -> APIRouter:
    """Make a router with what all routes have in common."""
    return APIRouter(
        prefix="/v1",
        dependencies=[Security(_key_scheme), Depends(refuse_repeats)],
        responses=error_responses(
            ErrorCode.INVALID_PARAMETER,
            ErrorCode.INVALID_API_KEY,
            ErrorCode.FORBIDDEN,
            ErrorCode.METHOD_NOT_ALLOWED,
            ErrorCode.RATE_LIMIT_EXCEEDED,
            ErrorCode.SERVER_ERROR,
        ),
    )


def documented(
    model: Any, example: Any, more: dict[int | str, dict[str, Any]] | None = None, status: int = 200
) -> dict[str, Any]:
    """Return the arguments of a route. Answers are built as they are described, so FastAPI need not check them
    again.
    """
    content = {"application/json": {"example": {"success": True, "data": example}}}
    answer = {"model": Envelope[model], "description": "OK", "content": content}
    return {"response_model": None, "status_code": status, "responses": {status: answer} | (more or {})}
