"""What is recorded, what a span follows and is linked to, and what there is where traces are off."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from kept_spans import NOT_RECORDED, PARENT, RECORDED, TRACE, KeptSpans, parent_of, recorded, traceparent_of

from pipeline.runtime.embedded import NotInstalled
from pipeline.runtime.settings import Settings
from pipeline.runtime.traces import tracer as traces
from pipeline.runtime.traces.otel import url_of
from pipeline.runtime.traces.tracer import MAX_LINKS, Kind, tracing

CALLER = (int(TRACE, 16), int(PARENT, 16))


def test_a_request_goes_on_with_its_callers_trace() -> None:
    kept = KeptSpans()
    span = kept.tracer.begin("request", RECORDED)
    assert span is not None
    span.rename("POST /")
    span.note({"http.response.status_code": 201})
    span.end()
    (ended,) = kept.all
    assert parent_of(ended) == CALLER
    assert ended.name == "POST /"
    assert dict(ended.attributes or {}) == {"http.response.status_code": 201}
    trace, own = traceparent_of(ended)
    assert span.traceparent == f"00-{trace:032x}-{own:016x}-01".encode()
    assert span.headers == [("traceparent", span.traceparent)]


@pytest.mark.parametrize("sample_ratio", [0.0, 1.0])
def test_a_caller_that_records_nothing_has_nothing_recorded(sample_ratio: float) -> None:
    assert KeptSpans(sample_ratio).tracer.begin("request", NOT_RECORDED) is None


@pytest.mark.parametrize("given", [b"", b"00-zz-01", b"\xff" * 55, b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"])
def test_without_a_callers_trace_the_ratio_decides(given: bytes) -> None:
    assert KeptSpans(0.0).tracer.begin("request", given) is None
    kept = KeptSpans(1.0)
    span = kept.tracer.begin("request", given)
    assert span is not None
    span.end("500")
    assert parent_of(kept.all[0]) is None
    assert kept.all[0].status.description == "500"


def test_of_several_traces_a_span_is_in_the_first_and_linked_to_the_others() -> None:
    kept = KeptSpans()
    given = [b"", NOT_RECORDED, RECORDED, recorded(1), RECORDED, b"nonsense", recorded(2)]
    span = kept.tracer.follow("flush", Kind.INTERNAL, given, {"rows": 3})
    assert span is not None
    span.end()
    (ended,) = kept.all
    assert parent_of(ended) == CALLER
    assert [link.context.trace_id for link in ended.links] == [2, 3]
    assert dict(ended.attributes or {}) == {"rows": 3}


def test_where_no_trace_is_recorded_nothing_follows() -> None:
    assert KeptSpans(1.0).tracer.follow("flush", Kind.INTERNAL, [b"", NOT_RECORDED], {}) is None


def test_links_are_limited() -> None:
    kept = KeptSpans()
    span = kept.tracer.follow("insert", Kind.CLIENT, map(recorded, range(10 * MAX_LINKS)), {})
    assert span is not None
    span.end()
    assert len(kept.all[0].links) == MAX_LINKS


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (None, b""),
        ((), b""),
        ([("other", b"x"), ("traceparent", RECORDED)], RECORDED),
        ([("traceparent", None)], b""),
        ([("traceparent", b"x" * 1_000_000)], b""),
    ],
)
def test_the_header_of_a_record(headers: list[tuple[str, bytes | None]] | None, found: bytes) -> None:
    assert traces.traceparent_of(headers) == found


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://traces.example/otlp/v1/traces", "https://traces.example/otlp/v1/traces"),
    ],
)
def test_the_address_spans_are_posted_to(endpoint: str, url: str) -> None:
    assert url_of(endpoint) == url


def test_off_there_is_no_tracer(make_settings: Callable[..., Settings]) -> None:
    with tracing(make_settings(), "gateway") as tracer:
        assert tracer is None


def test_on_without_the_packages_the_start_says_what_to_install(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    monkeypatch.delitem(sys.modules, "pipeline.runtime.traces.otel")
    with (
        pytest.raises(NotInstalled, match=r"opentelemetry.*attrikit\[tracing\]"),
        tracing(make_settings(traces_endpoint="http://127.0.0.1:4318"), "gateway"),
    ):
        pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"traces_endpoint": "ftp://collector"},
        {"traces_endpoint": "collector:4318"},
        {"traces_endpoint": "http://user:secret@collector:4318"},
        {"traces_sample_ratio": 1.5},
        {"traces_sample_ratio": -0.1},
    ],
)
def test_settings_that_cannot_be_used(make_settings: Callable[..., Settings], wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="traces_"):
        make_settings(**wrong)


def test_off_no_process_imports_opentelemetrys_sdk() -> None:
    modules = (
        "services.gateway.app, services.query.app, services.loader.app, services.webhooks.app, services.alerts.app, "
        "services.console.app, pipeline.stream.app, deploy.processes"
    )
    program = (
        f"import sys, {modules}; print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'requests'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
