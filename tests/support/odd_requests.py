"""Requests nobody should send, as hypothesis strategies: bodies, codings, headers, ways to arrive, and no HTTP."""

import gzip
import json
import zlib
from itertools import pairwise
from typing import Any, NamedTuple

import brotli
from hypothesis import strategies as st
from served_api import READ_KEY, REVOKED_KEY, SECRET_KEY, WRITE_KEY

from services.gateway.decompression import zstd

MEGABYTE = 1024 * 1024


def _words(text: bytes) -> list[bytes]:
    return text.split()


_EVENT = {
    "event_name": "purchase",
    "event_id": "order-1",
    "user_id": "u-42",
    "anonymous_id": "a-7",
    "properties": {"order_id": "O-1", "revenue": 19.99, "items": [{"sku": "中文", "n": 2}], "ok": True, "none": None},
    "context": {"ip": "203.0.113.9", "page": {"url": "https://shop.example/?a=b"}, "campaign": {"source": "baidu"}},
}
_ONE = json.dumps(_EVENT).encode()
_PLAIN = json.dumps({"event_name": "page_view"}, ensure_ascii=False).encode()
SEEDS = [
    _ONE,
    _PLAIN,
    json.dumps(_EVENT, ensure_ascii=False, indent=2).encode(),
    json.dumps({"events": [_EVENT, {"event_name": "Bad Name"}, {"event_name": "page_view"}]}).encode(),
    _ONE + b"\n" + _PLAIN + b"\n\n" + b"{broken\n" + _PLAIN,
    b'{"events":[]}',
]
JUNK = [
    *_words(
        rb"""
        \u0000 \ud800 \udfff\ud800 \x41 NaN -Infinity 1e999 -0 0x10 01 { } [ ] , : null true {} [] // /* ${7*7} '-- " ""
        "events": "events":[{}] "properties":[ "event_name": "__proto__":{}, "timestamp":"2024-02-30T00:00:00Z"
        "sent_at":"0001-01-01T00:00:00+14:00", "timestamp":"9999-12-31T23:59:59-14:00", "context":{"ip":"::%1"},
        """
    ),
    *(b"", b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\n", b"\r\n", b"\t", b'"user_id":"\xe2\x80\xae",'),
    *(b"9" * 19, b"9" * 40, b"1" * 400, b"0." + b"1" * 99, b'"user_id":"' + b"u" * 300 + b'",'),
    *(b"[" * 40, b"]" * 40, b'{"a":' * 20, b"[" * 3_000),
]


DEAR_EVENTS = (
    [
        b'{"event_name":"a","properties":{"a":[' + b",".join([value] * (4_800 // len(value))) + b"]}}"
        for value in (
            b"{}",
            b"[]",
            b"1",
            b'""',
            b"1e5",
            b'"\\u0000"',
            b"1111111111111111111",
            b'{"a":1}',
            b'"\\":"',
            b"[[[]]]",
        )
    ]
    + [
        b'{"event_name":"a","properties":{"a":"' + (text * 4_800)[:4_800] + b'="}}'
        for text in (b"=", b"/", b"a/", b"%", b"%25a", b"%%25", b"%26=", b"\\\\=", b"\xc5\xbe=", b"/" * 24 + b"=")
    ]
    + [
        b'{"event_name":"a","properties":{' + b",".join(b'"k%d":1' % number for number in range(400)) + b"}}",
        b'{"event_name":"a","properties":{' + b",".join([b'"k" :1'] * 400) + b"}}",
        b'{"event_name":"a",' + b",".join(b'"k%d":1' % number for number in range(400)) + b"}",
        b'{"event_name":"a","timestamp":"",' + b",".join(b'"k%d":""' % number for number in range(400)) + b"}",
        b'{"event_name":"a","properties":{"a":[' + b",".join([b"{}"] * 1_600) + b"]},}",
        b'{"event_name":"a\t","properties":{"a":[' + b",".join([b"{}"] * 1_600) + b"]}}",
    ]
)
"""Events whose parts cost more than their bytes where they are looked at one by one."""


REFUSED_EVENTS = [
    b'{"event_name":""}',
    b'{"event_name":"a","x":NaN}',
    b'{"event_name":"a","event_id":"x y"}',
    b'{"event_name":"B","properties":{"a":"' + b"token=1&?" * 400 + b'"}}',
    b'{"event_name":"B","x":"' + b"&x_amz_security_token" * 200 + b'"}',
    b'{"event_name":"B","properties":{"a":"' + rb"\"ip\":\"1.1.1.1\"" * 200 + b'"}}',
    b'{"event_name":"purchase","user_id":"u","properties":{"eunever":1,"veneure":2,"amuont":3,"valeu":4,"toatl":5}}',
]
"""Events that are refused, or warned of, which takes longer than accepting them does."""


class OddRequest(NamedTuple):
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    pieces: list[bytes]
    """The body as it arrives."""
    hangs_up: bool
    """Before the body's end."""


class _Edit(NamedTuple):
    kind: str
    start: int
    length: int
    junk: bytes


def _edited(seed: bytes, edits: list[_Edit]) -> bytes:
    for kind, start, length, junk in edits:
        at = start % (len(seed) + 1)
        piece = seed[at : at + length]
        if kind == "insert":
            seed = seed[:at] + junk + seed[at:]
        elif kind == "replace":
            seed = seed[:at] + junk + seed[at + length :]
        elif kind == "cut":
            seed = seed[:at]
        elif kind == "repeat":
            seed = seed[:at] + piece * 3 + seed[at:]
        else:
            seed = seed[:at] + bytes(byte ^ 1 << start % 8 for byte in piece) + seed[at + length :]
    return seed


_edit = st.builds(
    _Edit,
    st.sampled_from(["insert", "replace", "cut", "repeat", "flip"]),
    st.integers(0, 2_000),
    st.integers(0, 30),
    st.sampled_from(JUNK) | st.binary(max_size=6),
)
_small_edit = st.builds(
    _Edit,
    st.sampled_from(["insert", "replace"]),
    st.integers(0, 2_000),
    st.integers(0, 2),
    st.sampled_from([b"", b" ", b"0", b"a", b".", b"\\n", b"\xc3\xa9", b"-", b"_"]),
)
_edits = st.lists(_edit, min_size=1, max_size=4)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_fields = st.dictionaries(st.sampled_from([*_EVENT, "timestamp", "sent_at", "events"]), _json, max_size=5)
_structured = (_fields | st.builds(lambda events: {"events": events}, st.lists(_fields, max_size=4))).map(
    lambda value: json.dumps(value).encode("utf-8", "surrogatepass")
)
_repeated = st.builds(
    lambda piece, count, before, after: before + piece * min(count, 6 * MEGABYTE // max(len(piece), 1)) + after,
    st.sampled_from([*JUNK[1:], b"1\n", b"{},", b"{}\n", b" ", b'"a":1,', _PLAIN + b"\n", _PLAIN + b","]),
    st.sampled_from([10, 1_001, 100_000, 6 * MEGABYTE]),
    st.sampled_from([b"", b'{"events":[', b'{"event_name":"a","properties":{"x":[', b'{"event_name":"']),
    st.sampled_from([b"", b"]}", b"0]}", b"0]}}", b'"}']),
)
_nearly_good = st.builds(_edited, st.sampled_from(SEEDS), st.lists(_small_edit, max_size=2))
_mutated = st.builds(_edited, st.sampled_from(SEEDS), _edits)
bodies = st.one_of(_nearly_good, _nearly_good, _mutated, _mutated, _structured, st.binary(max_size=100))
large_bodies = _repeated

_CODERS: dict[bytes, Any] = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"br": lambda body: brotli.compress(body, quality=1),
    b"zstd": zstd.compress,
}
_ZEROS = bytes(32 * MEGABYTE)
_BOMBS = [(name, coder(_ZEROS)) for name, coder in _CODERS.items()]
_FRAMES = [(name, _CODERS[name](b"") * 20_000) for name in (b"gzip", b"deflate", b"zstd")]


def _coded(body: bytes, coding: bytes, edits: list[_Edit], claimed: bytes) -> tuple[bytes, bytes]:
    coder = _CODERS.get(coding)
    return claimed or coding, _edited(coder(body), edits) if coder else body


_claims = st.sampled_from([b""] * 4 + [b"GZIP", b"identity", b"gzip, br", b"x-gzip", b"\xff", b"zstd;q=1", b"deflate"])
_no_edits: st.SearchStrategy[list[_Edit]] = st.just([])
coded_bodies = st.one_of(
    bodies.map(lambda body: (b"", body)),
    st.builds(_coded, bodies, st.sampled_from(list(_CODERS)), _no_edits | _edits, _claims),
    st.sampled_from(_BOMBS + _FRAMES),
)

_NO_TEXT = bytes(range(9)) + bytes(range(10, 32)) + b"\x7f"
_latin = st.binary(max_size=12).map(lambda raw: raw.translate(None, _NO_TEXT))
"""Generate text that may stand in a header: the server refuses the rest as no HTTP."""
_values: dict[bytes, list[bytes]] = {
    b"content-type": [b"application/json", b"application/x-ndjson", b"text/plain", b"application/jsonl; x=y", b";"],
    b"accept-language": [b"en", b"zh;q=x", b"en;q=1e400", b"en;q=nan", b"," * 500, b"en;q=-1,zh;q=0", b"*"],
    b"x-request-id": [b"mine", b"a b", b"x" * 500, b"\xff", b"<script>"],
    b"content-length": [b"0", b"-1", b"5", b"9" * 30, b"1e3", b"", b" 3", b"0x10", b"99999999"],
    b"content-encoding": [b"gzip", b"br", b"", b"identity"],
    b"user-agent": [b"", b"Mozilla/5.0 (compatible; Googlebot/2.1)", b"x" * 5_000, b"\xfe\xff"],
    b"origin": [b"null", b"https://shop.example", b"https://" + b"a." * 200 + b"example", b"\xff", b"://", b"*"],
    b"host": [b"", b"gateway", b"\xff:1", b"a" * 300],
    b"expect": [b"100-continue"],
    b"transfer-encoding": [b"chunked", b"gzip, chunked", b"identity"],
    b"access-control-request-method": [b"POST", b"get"],
}
_header = st.sampled_from(sorted(_values)).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(_values[name]) | _latin)
)
_good_key = b"Bearer " + WRITE_KEY.encode()
_other_keys = [b"Bearer " + key.encode() for key in (SECRET_KEY, READ_KEY, REVOKED_KEY)]
_authorization = st.sampled_from(
    [_good_key] * 9 + _other_keys + [_good_key.lower(), b"Bearer", b"Basic \xff", b"", b"Bearer " * 99]
)
_queries = st.sampled_from(
    [b""] * 9
    + [
        b"results=errors",
        b"results=",
        b"results=all&results=x",
        b"key=" + WRITE_KEY.encode(),
        b"key=%FF%00",
        b"&&=&",
        b"%",
    ]
    + [b"\xff=\xfe", b"results=%E4", b"key=a&key=b", b"a" * 5_000, b";".join([b"a=b"] * 99)]
)
PATHS = ["/v1/events/track", "/v1/events/batch", "/v1/events/validate"]


def _pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    return [body[start:end] for start, end in pairwise(places)] or [b""]


def _request(
    path: str, authorization: bytes, coded: tuple[bytes, bytes], ndjson: bool, cuts: list[int], hangs_up: bool
) -> OddRequest:
    coding, body = coded
    headers = [(b"authorization", authorization), (b"content-encoding", coding)]
    headers.append((b"content-type", b"application/x-ndjson" if ndjson else b"application/json"))
    return OddRequest(path, b"", headers, _pieces(body, cuts), hangs_up)


_rarely = st.integers(0, 30).map(lambda number: number == 17)
_paths = st.sampled_from(PATHS)
_cuts = st.lists(st.integers(0, 6 * MEGABYTE), max_size=3)
_key = st.just(_good_key)
odd_bodies = st.builds(_request, _paths, _key, coded_bodies, st.booleans(), _cuts, _rarely)
odd_large_bodies = st.builds(
    _request, _paths, _key, large_bodies.map(lambda body: (b"", body)), st.booleans(), _cuts, _rarely
)
odd_heads = st.builds(
    lambda path, query, authorization, headers, body: OddRequest(
        path, query, [(b"authorization", authorization), *headers], [body], False
    ),
    st.sampled_from(PATHS),
    _queries | _latin,
    _authorization,
    st.lists(_header | st.tuples(_latin, _latin), max_size=6),
    st.sampled_from(SEEDS) | bodies,
)

_HTTP = [
    b"POST /v1/events/track HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
    + WRITE_KEY.encode()
    + b"\r\nContent-Length: 26\r\nAccept-Language: en\r\n\r\n"
    + b'{"event_name":"page_view"}',
    b"POST /v1/events/batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    b'd\r\n{"events":[]}\r\n0\r\nTrailer: x\r\n\r\n',
    b"GET /v1/events?limit=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + READ_KEY.encode() + b"\r\n\r\n",
    b"GET /healthz HTTP/1.0\r\n\r\n",
    b"OPTIONS /v1/events/track HTTP/1.1\r\nHost: x\r\nOrigin: https://shop.example\r\n"
    b"Access-Control-Request-Method: POST\r\n\r\n",
    b"GET /v1/users HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
]
_HTTP_JUNK = [
    *_words(b": HTTP/1.1 HTTP/0.9 GET http://a/b // /../.. %2e%2e/ % #x"),
    *(b"\r\n", b"\n", b"\r", b"\x00", b"\xff", b" ", b"\t", b"?" * 99, b"X: " + b"y" * 70_000, b"A: b\r\n" * 2_000),
    *(
        b"Host: a\r\nHost: b\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999\r\n",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n"),
    b"Connection: close\r\n",
]
no_http = st.builds(
    lambda first, edits, second: _edited(first, edits) + second,
    st.sampled_from(_HTTP),
    st.lists(
        st.builds(
            _Edit,
            st.sampled_from(["insert", "insert", "replace", "cut", "repeat", "flip"]),
            st.integers(0, 300),
            st.integers(0, 20),
            st.sampled_from(_HTTP_JUNK) | st.binary(max_size=4),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([b"", *_HTTP]),
)

_PATH_JUNK = [*_words(b"%00 %2F %2e%2e .. %ff % \xc3\xa9 ' %0a * ~ %F0%9F%98%80 a%2Fevents"), b"x" * 200]
_READ_PATHS = _words(b"events events/@ events/rejected users/@ users/@/events conversions attribution @ reports/@")
_READ_PARAMETERS = _words(b"limit cursor from to tz event_name goal user_id model property.a x code dimension")
_READ_VALUES = [*_words(b"1 2024-01-01 %00 %FF ' UTC a all \xff +"), b"", b"9" * 30]
_read_query = st.lists(
    st.tuples(st.sampled_from(_READ_PARAMETERS), st.sampled_from(_READ_VALUES) | _latin), max_size=4
).map(lambda pairs: b"&".join(name + b"=" + value for name, value in pairs))
odd_reads = st.builds(
    lambda path, junk, query, headers: (b"/v1/" + path.replace(b"@", junk), query, headers),
    st.sampled_from(_READ_PATHS),
    st.sampled_from(_PATH_JUNK) | _latin,
    _read_query,
    st.lists(_header, max_size=3),
)
"""The path as it stands in the request line, the query, and headers beside the key."""
