"""A call of a route: its authenticated caller and what it needs to answer. Every list route answers by `ListCall`."""

from dataclasses import dataclass
from typing import Annotated, Final, Generic, TypeVar

import msgspec
from fastapi import Depends, Request
from starlette.responses import Response

from pipeline.control import SnapshotNotLoaded
from pipeline.runtime.clock import now_ms
from schemas.control import ApiKey, App, Scope, Snapshot
from schemas.errors import ErrorCode
from services.query.core.answers import Meta
from services.query.core.cursors import Cursors
from services.query.core.lists import Page, ResourceList, page_of
from services.query.core.parameters import InRange, InZone, ListParameters, range_of, zone_of
from services.query.core.reader import RETRY_AFTER_SECONDS, Reader
from services.query.core.signing_key import SigningKey, signing_key_of
from services.query.core.times import ALL_TIME, time_in_zone
from services.web.auth import CHALLENGE, UNKNOWN, Caller, authenticate
from services.web.console_key import PREFIX, app_of_console_key
from services.web.errors import ApiError, server_error
from services.web.handlers import success_response

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


def reader_of(request: Request) -> Reader:
    reader: Reader = request.app.state.reader
    return reader


def required(row: T | None) -> T:
    """Return the row. Raises `ApiError` (NOT_FOUND) if there is none."""
    if row is None:
        raise ApiError(ErrorCode.NOT_FOUND)
    return row


@dataclass(frozen=True)
class Call:
    """A call that reads: a dependency of routes."""

    caller: Key
    reader: Annotated[Reader, Depends(reader_of)]

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
        return asked.response(await asked.rows(asked.wanted))

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

    async def rows(self, wanted: WantedT) -> list[RowT]:
        return await self.call.reader.page(self.listed.statement(self.call.app_id, wanted, self.page))

    def response(self, rows: list[RowT]) -> Response:
        return success_response(self.listed.answer(rows, self.page, self.meta))


ReadCall = Annotated[Call, Depends()]
ReadListCall = Annotated[ListCall, Depends()]
