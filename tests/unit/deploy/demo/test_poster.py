"""The demo's poster: the traffic cut into requests, and the handling of every kind of answer."""

import asyncio
from collections import Counter
from typing import Any

import httpx
import orjson
import pytest

from deploy.demo.generator import MAX_SPAN_MS, Kind, Plan, Sending, generate, truth_of
from deploy.demo.poster import Form, Parcel, Poster, PostError, parcels
from schemas.errors import ErrorCode

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def sendings() -> list[Sending]:
    return generate(Plan(end_ms=1_790_000_000_000, events=4_000, days=6))


def answer_truthfully(sendings: list[Sending]) -> httpx.MockTransport:
    """A gateway that knows which events are wrong."""
    codes = {sending.body["event_id"]: sending.code for sending in sendings}

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/events/track":
            code = codes[orjson.loads(request.content)["event_id"]]
            error = {"success": False, "error": {"code": code}}
            return httpx.Response(400, json=error) if code else httpx.Response(201, json={"data": {}})
        is_lines = request.headers["Content-Type"] == "application/x-ndjson"
        lines = request.content.split(b"\n")
        events = [orjson.loads(line) for line in lines] if is_lines else orjson.loads(request.content)["events"]
        return httpx.Response(201, json={"data": {"results": [result(codes[e["event_id"]]) for e in events]}})

    return httpx.MockTransport(handle)


def result(code: ErrorCode | None) -> dict[str, Any]:
    return {"status": "rejected", "error": {"code": code}} if code else {"status": "accepted"}


def client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


def test_parcels_keep_order_and_lose_nothing(sendings: list[Sending]) -> None:
    cut = list(parcels(sendings, seed=3))
    assert [sending for parcel in cut for sending in parcel.sendings] == sendings
    assert {parcel.form for parcel in cut} == set(Form)
    assert all(len(parcel.sendings) == 1 for parcel in cut if parcel.form is Form.SINGLE)
    assert max(parcel.last_ms - parcel.first_ms for parcel in cut) < MAX_SPAN_MS


async def test_answers_are_counted_and_compared_with_the_truth(sendings: list[Sending]) -> None:
    async with client(answer_truthfully(sendings)) as gateway:
        posted = await Poster(gateway).post_all(parcels(sendings, seed=3))
    truth = truth_of(sendings)
    assert (posted.sent, posted.rejected, posted.surprises) == (truth.sent, truth.rejected, [])
    assert posted.accepted == truth.stored + truth.duplicates


async def test_an_event_answered_otherwise_is_a_surprise(sendings: list[Sending]) -> None:
    valid = next(sending for sending in sendings if sending.kind is Kind.VALID)
    refuse = httpx.MockTransport(lambda _: httpx.Response(400, json={"error": {"code": "INVALID_PARAMETER"}}))
    async with client(refuse) as gateway:
        posted = await Poster(gateway).post_all([Parcel(Form.SINGLE, [valid])])
    assert len(posted.surprises) == 1


async def test_the_same_ids_are_sent_again_until_answered(sendings: list[Sending]) -> None:
    bodies: list[bytes] = []

    def handle(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        if len(bodies) == 1:
            raise httpx.ReadError("the gateway went away")
        return httpx.Response(500 if len(bodies) == 2 else 201, json={})

    async with client(httpx.MockTransport(handle)) as gateway:
        posted = await Poster(gateway).post_all([Parcel(Form.SINGLE, sendings[:1])])
    assert len(set(bodies)) == 1
    assert (posted.requests, posted.retries, posted.accepted) == (1, 2, 1)


@pytest.mark.parametrize("status", [401, 404, 429])
async def test_what_no_retry_mends_stops_it(sendings: list[Sending], status: int) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json={}))
    async with client(transport) as gateway:
        with pytest.raises(PostError, match=str(status)):
            await Poster(gateway).post_all([Parcel(Form.SINGLE, sendings[:1])])


async def test_a_batch_answered_in_part_stops_it(sendings: list[Sending]) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(201, json={"data": {"results": []}}))
    async with client(transport) as gateway:
        with pytest.raises(PostError):
            await Poster(gateway).post_all([Parcel(Form.JSON, sendings[:2])])


async def test_requests_under_way_lie_close_together_in_time() -> None:
    """The first is held back; only those within the span may pass it meanwhile."""
    sendings = [Sending(hour * HOUR_MS, {"event_id": str(hour)}) for hour in range(20)]
    passed: Counter[str] = Counter()
    enough = asyncio.Event()

    async def handle(request: httpx.Request) -> httpx.Response:
        event_id = orjson.loads(request.content)["event_id"]
        if event_id == "0":
            await enough.wait()
        passed[event_id] += 1
        if passed.total() == MAX_SPAN_MS // HOUR_MS:
            enough.set()
        return httpx.Response(201, json={})

    async with client(httpx.MockTransport(handle)) as gateway:
        await Poster(gateway, concurrency=50).post_all([Parcel(Form.SINGLE, [sending]) for sending in sendings])
    assert list(passed)[: MAX_SPAN_MS // HOUR_MS + 1] == ["1", "2", "3", "4", "5", "6", "0"]
    assert passed.total() == 20
