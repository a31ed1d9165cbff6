"""Admission of a request that reports: its app is found, its page and key are checked, and it is counted.

An app is named by a key in `Authorization`, by a key in the URL (`key`), or, in a page that has none, by its id in the
URL (`app_id`). The first that is there holds.
"""

from starlette.types import Receive

from schemas.control import Scope, Snapshot
from schemas.errors import ErrorCode
from services.gateway.answers import Preflight
from services.gateway.browser import (
    KnownOrigins,
    check_key_in_url,
    check_page,
    check_preflight,
    greeting,
    identify_by_app_id,
    preflight_headers,
    url_parameter,
)
from services.gateway.client_rate import ClientRate
from services.gateway.request_head import Call
from services.gateway.snapshots import Snapshots
from services.web.auth import Caller, identify, require
from services.web.envelope import Reply, success
from services.web.errors import ApiError
from services.web.quota import Quota, is_limited


class Admission:
    """The checks every endpoint that takes events makes before it reads a body."""

    def __init__(self, snapshots: Snapshots, quota: Quota | None, rate: ClientRate) -> None:
        """`quota`: None where requests are not counted. `rate`: of requests by app id."""
        self._snapshots = snapshots
        self._quota = quota
        self._rate = rate
        self._origins = KnownOrigins()

    async def admit(self, call: Call, *, takes_url: bool = False, is_validation: bool = False) -> Caller:
        """Find the app of the request and count it against its plan. An app without a limit waits for nothing here.

        `takes_url`: a key or app id in the URL will do. Raises `ApiError`.
        """
        caller = self._identify(call, takes_url)
        if self._quota is not None and is_limited(caller.app):
            count = self._quota.validation if is_validation else self._quota.request
            call.answer_headers += await count(caller.app)
        require(caller, Scope.WRITE)
        return caller

    async def preflight(self, call: Call, _receive: Receive) -> Reply:
        """Answer a browser's preflight: 200 and the CORS headers, or why the page may not report."""
        check_preflight(call, self._snapshots.current(), self._origins)
        call.answer_headers = preflight_headers(call)
        return success(200, Preflight(["POST"]))

    def _identify(self, call: Call, takes_url: bool) -> Caller:
        snapshot = self._snapshots.current()
        if call.origin:
            call.answer_headers = greeting(call, snapshot, self._origins)
        try:
            return self._identify_in(call, snapshot, takes_url and call.query != b"" and not call.authorization)
        except ApiError as error:
            if error.code is ErrorCode.FORBIDDEN:  # a page that may not report reads no answer
                call.answer_headers = ()
            raise

    def _identify_in(self, call: Call, snapshot: Snapshot, is_in_url: bool) -> Caller:
        key = url_parameter(call.query, "key") if is_in_url else b""
        app_id = url_parameter(call.query, "app_id") if is_in_url and not key else b""
        if app_id:
            caller = identify_by_app_id(app_id.decode("latin-1"), call, snapshot)
            call.app_id = caller.app.app_id
            self._rate.check(caller.app, call.ip)
            return caller
        caller = identify(b"Bearer " + key if key else call.authorization, snapshot)
        self._snapshots.note_use(caller.key.key_id)
        call.app_id = caller.app.app_id
        if call.origin:
            check_page(call, caller)
        if key:
            check_key_in_url(caller)
        return caller
