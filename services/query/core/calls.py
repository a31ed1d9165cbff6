"""A call of a route: its authenticated caller and what it needs to answer. Every list route answers by `ListCall`."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from fastapi import Depends, Request
from starlette.responses import Response, StreamingResponse

from pipeline.control import SnapshotNotLoaded
from pipeline.runtime.clock import now_ms
from schemas.control import ApiKey, App, Scope, Snapshot
from schemas.errors import ErrorCode
from services.query.core.answers import Meta
from services.query.core.cursors import Cursors
from services.query.core.lists import Page, PageText, ResourceList, page_of
from services.query.core.parameters import InRange, InZone, ListParameters, range_of, zone_of
from services.query.core.reader import RETRY_AFTER_SECONDS, AnswerReader, Reader
from services.query.core.rows import Found
from services.query.core.signing_key import SigningKey, signing_key_of
from services.query.core.times import ALL_TIME, time_in_zone
from services.web.auth import CHALLENGE, UNKNOWN, Caller, authenticate
from services.web.console_key import PREFIX, app_of_console_key
from services.web.envelope import Reply
from services.web.errors import ApiError, BrokenAnswer, server_error
from services.web.handlers import response_of

T = TypeVar("T")
GivenT = TypeVar("GivenT", bound=ListParameters)
WantedT = TypeVar("WantedT")
RowT = TypeVar("RowT", bound=msgspec.Struct)
ItemT = TypeVar("ItemT")
_CONSOLE: Final = f"Bearer {PREFIX}."


def caller_of(request: Request) -> Caller:
    """Authenticate the caller, before the parameters are looked at: a stranger learns nothing about them."""
    try:
        snapshot = request.app.state.snapshots.current()
    except SnapshotNotLoaded:
        raise server_error(RETRY_AFTER_SECONDS) from None
    given = request.headers.get("Authorization", "")
    if given.startswith(_CONSOLE):
        return _console(request, given.removeprefix("Bearer "), snapshot)
    caller = authenticate(given.encode("latin-1", "replace"), snapshot, Scope.READ)
    request.app.state.snapshots.note_use(caller.key.key_id)
    return caller


def _console(request: Request, given: str, snapshot: Snapshot) -> Caller:
    """The console, on behalf of a person who may see the app."""
    app = snapshot.apps.get(app_of_console_key(given, signing_key_of(request), now_ms()) or "")
    if app is None:
        raise ApiError(ErrorCode.INVALID_API_KEY, reason=UNKNOWN, headers=CHALLENGE)
    return Caller(ApiKey(PREFIX, app.app_id, "", frozenset({Scope.READ})), app)


Key = Annotated[Caller, Depends(caller_of)]


async def reader_of(request: Request, caller: Key) -> AsyncIterator[AnswerReader]:
    """Give the call its reader; what that holds is given back when the answer has been sent."""
    reader: Reader = request.app.state.reader
    with reader.answering(caller.app.app_id) as answering:
        yield answering


def required(row: T | None) -> T:
    """Return the row. Raises `ApiError` (NOT_FOUND) if there is none."""
    if row is None:
        raise ApiError(ErrorCode.NOT_FOUND)
    return row


@dataclass(frozen=True)
class Call:
    """A call that reads: a dependency of routes."""

    caller: Key
    reader: Annotated[AnswerReader, Depends(reader_of, scope="request")]

    @property
    def app(self) -> App:
        return self.caller.app

    @property
    def app_id(self) -> str:
        return self.caller.app.app_id

    async def meta(self, given: InZone) -> Meta:
        """Return the answer's `meta`. Read it before the rows, so that they are at least as fresh as it says."""
        zone = zone_of(given, self.app)
        asked = range_of(given, self.app) if isinstance(given, InRange) else ALL_TIME
        through_ms = await self.reader.complete_through_ms()
        return {
            "complete_through": time_in_zone(through_ms, zone),
            "timezone": zone,
            "from": time_in_zone(asked.from_ms, zone),
            "to": time_in_zone(asked.to_ms, zone),
        }


def cursors_of(caller: Key, signing_key: SigningKey) -> Cursors:
    return Cursors(signing_key, caller.app.app_id)


@dataclass(frozen=True)
class ListCall(Call):
    """A call of a list route: `call.answer(COSTS, given)` is all that a plain list does."""

    cursors: Annotated[Cursors, Depends(cursors_of)]

    async def answer(self, listed: ResourceList[GivenT, WantedT, RowT, ItemT], given: GivenT) -> Response:
        asked = await self.ask(listed, given)
        return await asked.answer(asked.pieces(asked.wanted))

    async def ask(
        self, listed: ResourceList[GivenT, WantedT, RowT, ItemT], given: GivenT
    ) -> "AskedPage[GivenT, WantedT, RowT, ItemT]":
        """Parse the parameters, and read the `meta`; for lists that look something up before or after their rows."""
        page = page_of(given, listed.name, self.cursors)
        wanted = listed.question(given, self.app)
        return AskedPage(self, listed, wanted, page, await self.meta(given))


@dataclass(frozen=True)
class AskedPage(Generic[GivenT, WantedT, RowT, ItemT]):
    """A page of a list that is being answered."""

    call: Call
    listed: ResourceList[GivenT, WantedT, RowT, ItemT]
    wanted: WantedT
    page: Page
    meta: Meta

    async def pieces(self, wanted: WantedT) -> AsyncIterator[Found[RowT]]:
        """Read the page in pieces: more than one only where its rows are large. Each is read when the one before has
        been sent, and is a query of its own, so that a slow reader keeps nothing waiting in ClickHouse.
        """
        page: Page | None = self.page
        while page is not None:
            found = await self.call.reader.page(self.listed.statement(self.call.app_id, wanted, page))
            found.is_cut = found.is_cut and len(found.rows) < page.row_limit
            page = page.rest(len(found.rows), self.listed.order.position(found.rows[-1])) if found.is_cut else None
            yield found
            del found
            self.call.reader.release()

    async def answer(self, pieces: AsyncIterator[Found[RowT]]) -> Response:
        """Answer with the page. One that is cut is sent as it is read; if that fails, the connection breaks off."""
        first = await anext(pieces)
        page = PageText(self.listed, self.page, self.meta)
        if first.is_cut:
            return StreamingResponse(_stream(page, first, pieces), media_type="application/json")
        return response_of(Reply(200, b"".join([part async for part in _parts(page, first)])))


async def _stream(page: PageText[RowT], found: Found[RowT], pieces: AsyncIterator[Found[RowT]]) -> AsyncIterator[bytes]:
    """Yield the text of the answer. Rows that have been sent are forgotten before the next ones are read."""
    is_cut = True
    while is_cut:
        async for part in _parts(page, found):
            yield part
        if is_cut := found.is_cut:
            del found
            try:
                found = await anext(pieces)
            except ApiError as error:
                raise BrokenAnswer(str(error)) from error


async def _parts(page: PageText[RowT], found: Found[RowT]) -> AsyncIterator[bytes]:
    """Yield the text of some rows, part by part, with a turn of the event loop for others between them."""
    for part in page.add(found.rows):
        yield part
        await asyncio.sleep(0)
    if not found.is_cut:
        yield page.end()


async def no_rows() -> AsyncIterator[Found[Any]]:
    """Give the pieces of a page with nothing on it."""
    yield Found([])


ReadCall = Annotated[Call, Depends()]
ReadListCall = Annotated[ListCall, Depends()]
