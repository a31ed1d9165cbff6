"""Operator endpoints over all apps at once: counts for the ledger, the state of the tables for the doctor.

No key of an app may see another app's counts, so these routes know one token of their own (`operator_token`); without
it they do not exist. They are no part of the API: gateways do not forward them, and its document does not name them.
"""

from hmac import compare_digest
from typing import Final

from fastapi import FastAPI, Request
from starlette.responses import Response

from pipeline.runtime.clickhouse import ClickHouse, ClickHouseRejected, ClickHouseUnavailable
from schemas.errors import ErrorCode
from services.query.operator.reader import ledger_counts, store_state
from services.web.errors import ApiError, Text, invalid, server_error
from services.web.handlers import success_response

PREFIX: Final = "/operator"
_RETRY_SECONDS: Final = 5
_NOT_A_NUMBER: Final = Text("必须是整数", "it must be an integer")


def add_operator_routes(app: FastAPI, clickhouse: ClickHouse, token: str, partitions: int) -> None:
    """Add the operators' routes; none without a token."""
    if not token:
        return

    @app.get(PREFIX + "/ledger", include_in_schema=False)
    async def ledger(request: Request) -> Response:
        _require_operator(request, token)
        bounds = [_integer(request, name) for name in ("from_us", "through_us")]
        try:
            return success_response(await ledger_counts(clickhouse, partitions, *bounds))
        except (ClickHouseUnavailable, ClickHouseRejected) as error:
            raise server_error(_RETRY_SECONDS) from error

    @app.get(PREFIX + "/store", include_in_schema=False)
    async def store(request: Request) -> Response:
        _require_operator(request, token)
        try:
            return success_response(await store_state(clickhouse))
        except (ClickHouseUnavailable, ClickHouseRejected) as error:
            raise server_error(_RETRY_SECONDS) from error


def _require_operator(request: Request, token: str) -> None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not compare_digest(given.strip().encode(), token.encode()):
        raise ApiError(ErrorCode.INVALID_API_KEY, headers=((b"www-authenticate", b'Bearer realm="operator"'),))


def _integer(request: Request, name: str) -> int:
    try:
        return int(request.query_params.get(name, ""))
    except ValueError:
        raise invalid(name, _NOT_A_NUMBER) from None
