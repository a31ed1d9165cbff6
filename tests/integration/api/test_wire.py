"""What is no HTTP, or only half of it: on raw sockets, against the server the services run on."""

import json
import socket
from typing import Any

import pytest
from served_api import SECRET_KEY, ServedApi

from pipeline.runtime.http.server import MAX_HEAD_BYTES

EVENT = b'{"event_name":"page_view"}'


def track(body: bytes = EVENT, *headers: bytes, length: bytes | None = None) -> bytes:
    lines = (b"Host: x", b"Authorization: Bearer " + SECRET_KEY.encode(), *headers)
    size = length if length is not None else str(len(body)).encode()
    return b"\r\n".join([b"POST /v1/events/track HTTP/1.1", *lines, b"Content-Length: " + size, b"", body])


def converse(api: ServedApi, *pieces: bytes) -> bytes:
    """What comes back until the server closes the connection or falls silent after an answer."""
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
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * MAX_HEAD_BYTES,
    ],
    ids=["line", "header", "headers"],
)
def test_a_head_without_an_end(served: ServedApi, endless: bytes) -> None:
    details = error_of(converse(served, endless), "PAYLOAD_TOO_LARGE")
    assert details["limit"] == MAX_HEAD_BYTES
    assert details["actual"] > MAX_HEAD_BYTES
