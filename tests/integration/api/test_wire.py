"""Requests that are no HTTP, or only half of it: on raw sockets, against the server the services run on."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import odd_requests
import pytest
from fuzzing import cases, check_envelope, run
from served_api import SECRET_KEY, ServedApi
from structlog.testing import capture_logs

from schemas.topics import Topic
from services.web.server import MAX_HEAD_BYTES, MAX_HEADERS

EVENT = b'{"event_name":"page_view"}'


def track(body: bytes = EVENT, *headers: bytes, length: bytes | None = None) -> bytes:
    lines = (b"Host: x", b"Authorization: Bearer " + SECRET_KEY.encode(), *headers)
    size = length if length is not None else str(len(body)).encode()
    return b"\r\n".join([b"POST /v1/events/track HTTP/1.1", *lines, b"Content-Length: " + size, b"", body])


def converse(api: ServedApi, *pieces: bytes) -> bytes:
    """Return the bytes received until the server closes the connection or falls silent after an answer."""
    _, host, port = api.url.replace("/", "").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for piece in pieces:
            connection.sendall(piece)
        received = b""
        while not (received and is_complete(received)):
            chunk = connection.recv(65536)
            if not chunk:
                break
            received += chunk
        return received


def read_answer(connection: socket.socket) -> bytes:
    """One complete answer; fails if the connection is closed before its end."""
    received = b""
    while not is_complete(received):
        chunk = connection.recv(65536)
        assert chunk, f"closed after {received!r}"
        received += chunk
    return received


def is_complete(received: bytes) -> bool:
    head, separator, body = received.partition(b"\r\n\r\n")
    sizes = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(separator) and len(body) >= int(sizes[0]) and b"connection: close" not in head.lower()


def error_of(received: bytes, code: str, language: str = "zh") -> dict[str, Any]:
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"connection"] == b"close"
    assert headers[b"x-request-id"]
    answer = json.loads(body)
    assert answer.keys() == {"success", "error"}
    assert answer["success"] is False
    error = answer["error"]
    assert error.keys() == {"code", "message", "details"}
    assert error["code"] == code
    assert error["message"].isascii() == (language == "en")
    return error["details"]


NO_HTTP = [
    b"\x00\x01\x02\x03\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
    b"hello\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /v1/events HTTP/9.9\r\nHost: x\r\n\r\n",
    b"G\xffT / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: \x01\x02\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    track(length=b"-1"),
    track(length=b"26x"),
    track(length=b"0x1a"),
    track(length=b"99999999999999999999999999"),
    track(EVENT, b"Content-Length: 3"),
    track(EVENT, b"Transfer-Encoding: chunked"),
    track(b"zz\r\n" + EVENT, b"Transfer-Encoding: chunked").replace(b"Content-Length: 30\r\n", b""),
    track(b"-5\r\n" + EVENT, b"Transfer-Encoding: chunked").replace(b"Content-Length: 30\r\n", b""),
    b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("sent", NO_HTTP)
def test_no_http_is_answered_in_the_envelope(served: ServedApi, sent: bytes) -> None:
    details = error_of(converse(served, sent), "INVALID_PARAMETER")
    assert details.keys() == {"field", "reason"}


def test_the_language_and_id_that_came_before_the_mistake_hold(served: ServedApi) -> None:
    sent = b"GET / HTTP/1.1\r\nAccept-Language: en\r\nX-Request-Id: mine-1\r\nHost: x\r\nNo colon\r\n\r\n"
    received = converse(served, sent)
    assert error_of(received, "INVALID_PARAMETER", "en")["field"] == "request"
    assert b"x-request-id: mine-1" in received


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /" + b"a" * MAX_HEAD_BYTES * 4,
        b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD_BYTES * 4,
    ],
    ids=["line", "header"],
)
def test_a_head_without_an_end(served: ServedApi, endless: bytes) -> None:
    details = error_of(converse(served, endless), "PAYLOAD_TOO_LARGE")
    assert details["limit"] == MAX_HEAD_BYTES
    assert details["actual"] > MAX_HEAD_BYTES


def test_a_mistake_after_a_good_request_does_not_touch_its_answer(served: ServedApi) -> None:
    received = converse(served, track() + b"\x00\x01 garbage\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 201 Created\r\n")
    assert received.count(b"HTTP/1.1 ") == 1


def test_a_mistake_in_the_body_is_answered_and_nothing_is_stored(served: ServedApi) -> None:
    served.sink.records.clear()
    head = track(b"", b"Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    chunk = b"1a\r\n" + EVENT + b"\r\n"
    error_of(converse(served, head, chunk, b"no size\r\n\r\n"), "INVALID_PARAMETER")
    assert served.sink.lines(Topic.EVENTS) == served.sink.lines(Topic.REJECTED) == []


def test_a_mistake_while_the_body_is_asked_for(served: ServedApi) -> None:
    head = track(b"", b"Transfer-Encoding: chunked", b"Expect: 100-continue").replace(b"Content-Length: 0\r\n", b"")
    with capture_logs() as logs:
        error_of(converse(served, head + b"no size\r\n"), "INVALID_PARAMETER")
        assert converse(served, track()).startswith(b"HTTP/1.1 201 Created\r\n")
    assert [line for line in logs if line["log_level"] == "error"] == []


def test_trailers_change_nothing_and_have_an_end(served: ServedApi) -> None:
    head = track(b"", b"Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    chunks = b"1a\r\n" + EVENT + b"\r\n0\r\n"
    received = converse(served, head + chunks + b"Authorization: Bearer nobody\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 201 Created\r\n")
    endless = head + chunks + b"A: b\r\n" * MAX_HEAD_BYTES
    assert error_of(converse(served, endless), "PAYLOAD_TOO_LARGE")["limit"] == MAX_HEAD_BYTES


WEBSOCKET = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==")
H2C = (b"Connection: keep-alive, Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAAAAIAAAAB")


@pytest.mark.parametrize("offer", [WEBSOCKET, H2C])
@pytest.mark.parametrize("cut", [0, 60, 250, 301])
def test_an_offer_to_speak_another_protocol_is_ignored(served: ServedApi, offer: tuple[bytes, ...], cut: int) -> None:
    """The body is the event, whether it comes with its head or later, and the connection goes on."""
    sent = track(EVENT, *offer)
    _, host, port = served.url.replace("/", "").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for _ in range(2):
            for piece in (sent[:cut], sent[cut:]):
                connection.sendall(piece)
            received = read_answer(connection)
            assert received.startswith(b"HTTP/1.1 201 Created\r\n"), received
    chunked = track(b"", b"Transfer-Encoding: chunked", *offer).replace(b"Content-Length: 0\r\n", b"")
    chunks = b"1a\r\n" + EVENT + b"\r\n0\r\n\r\n"
    assert converse(served, chunked, chunks).startswith(b"HTTP/1.1 201 Created\r\n")
    get = b"\r\n".join([b"GET /v1/events HTTP/1.1", b"Host: x", *offer, b"", b""])
    assert converse(served, get).startswith(b"HTTP/1.1 401 Unauthorized\r\n")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"OPTIONS * HTTP/1.1", 404),
        (b"GET * HTTP/1.1", 404),
        (b"TRACE / HTTP/1.1", 404),
        (b"GET http://elsewhere.example/v1/events HTTP/1.1", 401),
        (b"GET //elsewhere.example/v1/events HTTP/1.1", 404),
        (b"GET /v1/users/../events HTTP/1.1", 404),
        (b"PROPFIND /v1/events HTTP/1.1", 405),
        (b"GET /v1/events HTTP/1.0", 401),
    ],
)
def test_what_is_http_but_odd_is_answered_by_the_api(served: ServedApi, line: bytes, status: int) -> None:
    sent = line + b"\r\nHost: x\r\nConnection: close\r\n\r\n"
    ((answered, body),) = answers_in(converse(served, sent))
    assert answered == status
    check_envelope(status, json.loads(body))


def half_closed(api: ServedApi, *pieces: bytes) -> bytes:
    """What comes back after the whole request has been sent and the client's side been closed, until the server closes
    its own."""
    _, host, port = api.url.replace("/", "").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for piece in pieces:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        while chunk := connection.recv(65536):
            received += chunk
    return received


def test_who_closes_its_side_after_the_request_is_answered(served: ServedApi) -> None:
    served.sink.records.clear()
    read = b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + SECRET_KEY.encode() + b"\r\n\r\n"
    for _ in range(10):
        ((status, body),) = answers_in(half_closed(served, track()))
        assert (status, json.loads(body)["success"]) == (201, True)
    ((status, _body),) = answers_in(half_closed(served, track()[:-5], track()[-5:]))
    assert status == 201
    ((status, _body),) = answers_in(half_closed(served, read))
    assert status == 200
    assert [status for status, _ in answers_in(half_closed(served, track() + read + track()))] == [201, 200, 201]
    assert len(served.sink.lines(Topic.EVENTS)) == 13


@pytest.mark.parametrize("half", [b"", b"POST /v1/events/track HTTP/1.1", track()[:-5]], ids=range(3))
def test_who_closes_its_side_before_the_end_of_the_request_is_not(served: ServedApi, half: bytes) -> None:
    assert half_closed(served, half) == b""


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ((), "Host"),
        ((b"Host: x", b"Host: x"), "Host"),
        ((b"Host: x", b"host: y"), "Host"),
        ((b"Host: x", b"Authorization: Bearer nobody"), "Authorization"),
        ((b"Host: x", b"Content-Type: application/json", b"Content-Type: text/plain"), "Content-Type"),
        ((b"Host: x", b"Content-Encoding: gzip", b"Content-Encoding: br"), "Content-Encoding"),
        ((b"Host: x", b"Origin: https://a.example", b"Origin: https://b.example"), "Origin"),
    ],
)
@pytest.mark.parametrize("path", [b"/v1/events/track", b"/v1/events"])
def test_a_head_that_could_be_read_in_two_ways_is_refused(
    served: ServedApi, path: bytes, headers: tuple[bytes, ...], field: str
) -> None:
    lines = (b"POST " + path + b" HTTP/1.1", b"Authorization: Bearer " + SECRET_KEY.encode(), *headers)
    received = converse(served, b"\r\n".join([*lines, b"Content-Length: 26", b"", EVENT]))
    assert error_of(received, "INVALID_PARAMETER")["field"] == field
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("path", [b"/v1/events/track", b"/v1/events"])
@pytest.mark.parametrize("blank", [b" ", b"\t", b" \t "])
def test_blanks_around_a_header_are_no_part_of_it(served: ServedApi, path: bytes, blank: bytes) -> None:
    method, body = (b"POST", EVENT) if path.endswith(b"track") else (b"GET", b"")
    head = (method + b" " + path + b" HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body))
    key = b"Authorization:" + blank + b"Bearer " + SECRET_KEY.encode() + blank
    with capture_logs() as logs:
        received = converse(served, b"\r\n".join([*head, key, b"", body]))
    assert received.startswith(b"HTTP/1.1 20")
    assert SECRET_KEY not in repr(logs)


def test_a_body_announced_too_large_is_refused_without_waiting_for_it(served: ServedApi) -> None:
    details = error_of(converse(served, track(EVENT, length=b"99999999999")), "PAYLOAD_TOO_LARGE")
    assert details["actual"] == 99999999999


def test_headers_and_parameters_are_counted_before_they_are_read(served: ServedApi) -> None:
    many = b"".join(b"A%d: b\r\n" % number for number in range(8_000))
    sent = b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept-Language: en\r\n" + many + b"\r\n"
    assert error_of(converse(served, sent), "INVALID_PARAMETER", "en") == {
        "field": "headers",
        "reason": "there may be at most 100 headers",
        "limit": MAX_HEADERS,
    }
    many = b"&".join(b"a%d=b" % number for number in range(15_000))[: MAX_HEAD_BYTES - 1000]
    sent = b"GET /v1/events?" + many + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    assert error_of(converse(served, sent), "INVALID_PARAMETER")["field"] == "query"


@pytest.mark.parametrize(
    "half", [b"", b"\r\n", b"POST /v1/events/track HT", track()[:-40], track(EVENT, length=b"30")], ids=range(5)
)
def test_who_stops_halfway_is_cut_off(served: ServedApi, monkeypatch: pytest.MonkeyPatch, half: bytes) -> None:
    monkeypatch.setattr("services.web.server.STALL_SECONDS", 0.2)
    assert converse(served, half) == b""


def test_who_dawdles_over_a_head_is_cut_off(served: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.web.server.STALL_SECONDS", 0.3)
    _, host, port = served.url.replace("/", "").split(":")
    with socket.create_connection((host, int(port)), timeout=0.02) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(3_000):  # a minute
            try:
                connection.sendall(b"A: b\r\n")
                if connection.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    pytest.fail("still connected")


def test_who_reads_an_early_answer_and_goes_on_slowly_is_cut_off(
    served: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.web.server.STALL_SECONDS", 0.3)
    stranger = track(EVENT, length=b"1000").replace(SECRET_KEY.encode(), b"nobody")
    _, host, port = served.url.replace("/", "").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(stranger)
        assert read_answer(connection).startswith(b"HTTP/1.1 401 Unauthorized\r\n")
        connection.sendall(b"x")
        assert connection.recv(1) == b""


def test_mutilated_requests(served: ServedApi) -> None:
    """Whatever is sent, and 70 KB after it that end any request: what comes back are envelopes, and soon."""

    def send(sent: bytes) -> None:
        with capture_logs() as logs:
            received = exhaust(served, sent + b"\r\n" + b"\xff" * (MAX_HEAD_BYTES + 4096))
        assert [line for line in logs if line["log_level"] in ("error", "critical")] == []
        for status, body in answers_in(received):
            if body:
                check_envelope(status, json.loads(body))
        served.sink.records.clear()

    run(cases(few=60, full=10_000), odd_requests.no_http, send)
    assert converse(served, track()).startswith(b"HTTP/1.1 201 Created\r\n")


def exhaust(api: ServedApi, sent: bytes) -> bytes:
    """All that comes back until the connection ends. Its end may take the last answers with it."""
    _, host, port = api.url.replace("/", "").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
    return received


def answers_in(received: bytes) -> Iterator[tuple[int, bytes]]:
    """Status and body of each complete answer that has one."""
    rest = received
    while rest:
        assert rest.startswith(b"HTTP/1.1 "), rest[:200]
        status = int(rest[9:12])
        head, _, rest = rest.partition(b"\r\n\r\n")
        if status == 100:
            continue
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        assert headers[b"x-request-id"]
        length = int(headers[b"content-length"])
        body, rest = rest[:length], rest[length:]
        if len(body) == length:
            yield status, body
