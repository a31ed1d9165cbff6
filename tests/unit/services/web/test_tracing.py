"""The span of a request: what it says, what goes on from it, and which requests have none."""

import httpx
import pytest
from kept_spans import NOT_RECORDED, PARENT, RECORDED, TRACE, KeptSpans, parent_of, traceparent_of
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from pipeline.runtime.traces.tracer import CURRENT
from services.web.tracing import About, TraceRequests

PATH = "/v1/users/a-person?email=a@example.com"


class Service:
    """Answers `status`, and notes the trace it found in the context and in the headers."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.found: list[tuple[bytes, list[str]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.found.append((CURRENT.get(), Request(scope).headers.getlist("traceparent")))
        if self.status == 0:
            raise KeyError("crashed")
        await PlainTextResponse("x", self.status)(scope, receive, send)


async def ask(service: Service, kept: KeptSpans, traceparent: bytes, path: str = PATH) -> None:
    app = TraceRequests(service, kept.tracer, lambda _: About("/v1/users/{user_id}", {"attrikit.app_id": "shop"}))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = [(b"traceparent", traceparent)] if traceparent else []
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        await client.get(path, headers=headers)


async def test_a_traced_request_is_what_its_service_goes_on_from() -> None:
    kept, service = KeptSpans(), Service()
    await ask(service, kept, RECORDED)
    (span,) = kept.all
    assert span.name == "GET /v1/users/{user_id}"
    assert parent_of(span) == (int(TRACE, 16), int(PARENT, 16))
    trace, own = traceparent_of(span)
    here = f"00-{trace:032x}-{own:016x}-01"
    assert service.found == [(here.encode(), [here])]
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/v1/users/{user_id}",
        "attrikit.app_id": "shop",
        "http.response.status_code": 200,
    }
    assert CURRENT.get() == b""


@pytest.mark.parametrize(("status", "error"), [(404, None), (500, "500"), (0, "0")])
async def test_an_error_of_ours_is_one_of_the_span(status: int, error: str | None) -> None:
    kept = KeptSpans()
    await ask(Service(status), kept, RECORDED)
    assert kept.all[0].status.description == error


@pytest.mark.parametrize("given", [b"", NOT_RECORDED])
async def test_a_request_that_is_not_recorded_goes_on_as_it_came(given: bytes) -> None:
    kept, service = KeptSpans(), Service()
    await ask(service, kept, given)
    assert kept.all == []
    assert service.found == [(b"", [given.decode()] if given else [])]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_probes_are_never_traced(path: str) -> None:
    kept = KeptSpans(sample_ratio=1.0)
    await ask(Service(), kept, RECORDED, path)
    assert kept.all == []
