"""Answers of services as the console reads them."""

from decimal import Decimal

import httpx
import pytest

from services.console.reading import AddressTooLong, ReadFailed, answer_of, data_of


def test_amounts_are_exact() -> None:
    answer = httpx.Response(200, content=b'{"success": true, "data": {"value": 0.10, "count": 3}}')
    assert data_of(answer) == {"value": Decimal("0.10"), "count": 3}
    assert isinstance(data_of(answer)["value"], Decimal)


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"[1]", b'"ok"', b'{"success": true'])
def test_what_is_no_answer_of_ours_is_the_fault_of_the_service(body: bytes) -> None:
    with pytest.raises(ReadFailed) as caught:
        data_of(httpx.Response(200, content=body))
    assert (caught.value.status, caught.value.code) == (502, "SERVER_ERROR")


async def test_what_makes_too_long_an_address_cannot_be_asked_for() -> None:
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9") as client:
        for path, parameters in (("/v1/users/" + "x" * 70_000, {}), ("/v1/users", {"cursor": "x" * 70_000})):
            with pytest.raises(AddressTooLong) as caught:
                await answer_of(client, "query", "GET", path, params=parameters)
            assert caught.value.status == 400


def test_an_error_has_its_code_and_its_reason() -> None:
    body = {"success": False, "error": {"code": "INVALID_EVENT", "message": "m", "details": {"reason": "r"}}}
    with pytest.raises(ReadFailed) as caught:
        data_of(httpx.Response(400, json=body))
    assert (caught.value.status, caught.value.code, caught.value.message, caught.value.reason) == (
        400,
        "INVALID_EVENT",
        "m",
        "r",
    )
