"""One event: what is kept of it, and every reason to refuse it."""

import json
from typing import Any

import msgspec
import pytest

from schemas.errors import ErrorCode
from schemas.events import AcceptedEvent
from schemas.ids import mint_event_id
from services.gateway.outcomes import rejected_row
from services.gateway.validate import Receipt, check_event
from services.web.errors import ApiError, Text
from services.web.event_reasons import stored_reason

RECEIVED_MS = 1_705_314_700_000
DAY_MS = 86_400_000


def check(receipt: Receipt, **event: Any) -> AcceptedEvent:
    return check_event(json.dumps({"event_name": "page_view"} | event).encode(), receipt)


def refusal(receipt: Receipt, raw: bytes) -> ApiError:
    with pytest.raises(ApiError) as raised:
        check_event(raw, receipt)
    return raised.value


def test_every_field_of_a_full_event_lands_where_the_schema_says(receipt: Receipt) -> None:
    raw = {
        "event_name": "purchase",
        "event_id": "order:1",
        "user_id": "u-1",
        "anonymous_id": "a-1",
        "timestamp": "2024-01-15T10:30:00.250Z",
        "sent_at": "2024-01-15T10:30:40Z",
        "properties": {"revenue": 19.99, "page_url": "https://overruled.example"},
        "context": {
            "ip": "2001:DB8::1",
            "user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "locale": "zh-CN",
            "page": {"url": "https://e.example/", "title": "T", "referrer": "https://r.example/"},
            "campaign": {"source": "s", "medium": "m", "name": "n", "term": "t", "content": "c"},
        },
    }
    assert check_event(json.dumps(raw).encode(), receipt) == AcceptedEvent(
        app_id="shop",
        event_id="order:1",
        event_name="purchase",
        timestamp_ms=1_705_314_660_250,
        received_us=RECEIVED_MS * 1000,
        user_id="u-1",
        anonymous_id="a-1",
        properties=msgspec.Raw(b'{"revenue": 19.99, "page_url": "https://overruled.example"}'),
        page_url="https://e.example/",
        page_title="T",
        referrer="https://r.example/",
        campaign_source="s",
        campaign_medium="m",
        campaign_name="n",
        campaign_term="t",
        campaign_content="c",
        ip="2001:db8::1",
        user_agent="Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        locale="zh-CN",
        original_timestamp_ms=1_705_314_600_250,
        is_bot=True,
        key_id="key_write",
    )


def test_the_least_event_gets_what_the_request_tells(receipt: Receipt) -> None:
    event = check_event(b' {"event_name":"search"} ', receipt, ordinal=3)
    assert event.event_id == mint_event_id(RECEIVED_MS, 7 + 3)
    assert event.timestamp_ms == RECEIVED_MS
    assert (event.ip, event.user_agent, event.is_bot) == ("203.0.113.9", "curl/8.5.0", False)
    assert bytes(event.properties) == b"{}"


def test_null_stands_for_an_absent_field(receipt: Receipt) -> None:
    nothing = dict.fromkeys(("event_id", "user_id", "anonymous_id", "timestamp", "sent_at", "properties", "context"))
    assert check(receipt, **nothing) == check(receipt)
    empty = {"context": {"ip": None, "user_agent": None, "locale": None, "page": None, "campaign": None}}
    assert check(receipt, **empty) == check(receipt)


def test_an_empty_text_stands_for_an_absent_field(receipt: Receipt) -> None:
    names = ("event_id", "user_id", "anonymous_id", "timestamp", "sent_at", "properties", "context")
    assert check(receipt, **dict.fromkeys(names, "")) == check(receipt)
    for name in names:
        assert check(receipt, **{name: ""}) == check(receipt)
    empty = {"context": {"ip": "", "user_agent": "", "locale": "", "page": "", "campaign": ""}}
    assert check(receipt, **empty) == check(receipt)
    assert check(receipt, timestamp="", properties={"a": ""}).properties == msgspec.Raw(b'{"a": ""}')
    kept = check(receipt, sent_at="", timestamp="2024-01-15T10:30:00Z", context={"page": "", "locale": "zh"})
    assert (kept.timestamp_ms, kept.original_timestamp_ms, kept.locale) == (1_705_314_600_000, 0, "zh")


def test_unknown_fields_are_ignored(receipt: Receipt) -> None:
    assert check(receipt, shoe_size=43, app_id="another", key_id="forged") == check(receipt)


def test_page_fields_fall_back_to_properties_of_the_right_type(receipt: Receipt) -> None:
    event = check(receipt, properties={"page_url": "https://e.example", "page_title": "首页", "referrer": 5})
    assert (event.page_url, event.page_title, event.referrer) == ("https://e.example", "首页", "")


def test_pretty_printed_properties_become_one_line(receipt: Receipt) -> None:
    raw = b'{"event_name":"page_view","properties":{\r\n  "a b": "c  d",\n  "n": 1.50\n}}'
    assert bytes(check_event(raw, receipt).properties) == b'{"a b":"c  d","n":1.50}'


def test_a_crawlers_own_request_is_marked_and_a_backends_is_not(receipt: Receipt) -> None:
    crawler = "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)"
    assert check(msgspec.structs.replace(receipt, user_agent=crawler)).is_bot
    assert not check(msgspec.structs.replace(receipt, user_agent="my-bot/1.0 (python)")).is_bot
    assert check(receipt, context={"user_agent": "my-bot/1.0"}).is_bot


@pytest.mark.parametrize(
    ("timestamp", "expected_ms"),
    [
        ("2024-01-15T10:30:00Z", 1_705_314_600_000),
        ("2024-01-15T18:30:00+08:00", 1_705_314_600_000),
        ("2024-01-15 10:30:00.0019z", 1_705_314_600_001),
        ("2024-01-16T10:31:40Z", RECEIVED_MS + DAY_MS),
        ("2022-12-11T10:31:40Z", RECEIVED_MS - 400 * DAY_MS),
    ],
)
def test_times(receipt: Receipt, timestamp: str, expected_ms: int) -> None:
    event = check(receipt, timestamp=timestamp)
    assert (event.timestamp_ms, event.original_timestamp_ms) == (expected_ms, 0)


def test_a_clock_years_off_is_corrected_before_it_is_judged(receipt: Receipt) -> None:
    event = check(receipt, timestamp="1999-12-31T23:59:00Z", sent_at="2000-01-01T00:00:00Z")
    assert event.timestamp_ms == RECEIVED_MS - 60_000
    assert event.original_timestamp_ms == 946_684_740_000


@pytest.mark.parametrize(
    ("timestamp", "sent_at"),
    [
        ("9999-12-31T23:59:59-00:10", "9999-12-31T00:20:00Z"),
        ("2300-01-01T00:00:00Z", "2300-01-01T00:00:00Z"),
        ("1899-12-31T23:59:59Z", "1899-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_time_that_could_not_be_read_again_is_refused_though_its_correction_could(
    receipt: Receipt, timestamp: str, sent_at: str
) -> None:
    event = {"event_name": "a", "timestamp": timestamp, "sent_at": sent_at}
    assert refusal(receipt, json.dumps(event).encode()).field == "timestamp"


def test_no_history_limit_reaches_behind_the_epoch(receipt: Receipt) -> None:
    boundless = msgspec.structs.replace(receipt, history_limit_days=10**6)
    assert check(boundless, timestamp="1970-01-01T00:00:00Z").timestamp_ms == 0
    assert refusal(boundless, b'{"event_name":"a","timestamp":"1969-12-31T23:59:59Z"}').field == "timestamp"


NAMES = ErrorCode.INVALID_EVENT_NAME
PARAMETER = ErrorCode.INVALID_PARAMETER
MISSING = ErrorCode.MISSING_REQUIRED_FIELD


@pytest.mark.parametrize(
    ("raw", "code", "field"),
    [
        (b"", PARAMETER, ""),
        (b"   ", PARAMETER, ""),
        (b"{", PARAMETER, ""),
        (b"[]", PARAMETER, ""),
        (b'"page_view"', PARAMETER, ""),
        (b"null", PARAMETER, ""),
        (b"{}", MISSING, "event_name"),
        (b'{"event_name":""}', MISSING, "event_name"),
        (b'{"event_name":null}', MISSING, "event_name"),
        (b'{"event_name":7}', NAMES, "event_name"),
        (b'{"event_name":["a"]}', NAMES, "event_name"),
        (b'{"event_name":"Purchase-Complete"}', NAMES, "event_name"),
        (b'{"event_name":"page_view\\n"}', NAMES, "event_name"),
        (b'{"event_name":"' + b"a" * 65 + b'"}', NAMES, "event_name"),
        (b'{"event_name":"a","user_id":5}', PARAMETER, "user_id"),
        (b'{"event_name":"a","user_id":"null"}', PARAMETER, "user_id"),
        (b'{"event_name":"a","user_id":" Undefined "}', PARAMETER, "user_id"),
        (b'{"event_name":"a","user_id":"0"}', PARAMETER, "user_id"),
        (b'{"event_name":"a","anonymous_id":"anonymous"}', PARAMETER, "anonymous_id"),
        (b'{"event_name":"a","anonymous_id":"   "}', PARAMETER, "anonymous_id"),
        (b'{"event_name":"a","user_id":"' + b"x" * 201 + b'"}', PARAMETER, "user_id"),
        (b'{"event_name":"a","user_id":"a\\u001fb"}', PARAMETER, "user_id"),
        (b'{"event_name":"a","user_id":"a\\u0000b"}', PARAMETER, "user_id"),
        (b'{"event_name":"a","event_id":"with space"}', PARAMETER, "event_id"),
        (b'{"event_name":"a","event_id":"x\\n"}', PARAMETER, "event_id"),
        (b'{"event_name":"a","event_id":"' + b"x" * 65 + b'"}', PARAMETER, "event_id"),
        (b'{"event_name":"a","timestamp":"2024-01-15T10:30:00"}', PARAMETER, "timestamp"),
        (b'{"event_name":"a","timestamp":"2024-01-15"}', PARAMETER, "timestamp"),
        (b'{"event_name":"a","timestamp":1705314600}', PARAMETER, "timestamp"),
        (b'{"event_name":"a","timestamp":"yesterday"}', PARAMETER, "timestamp"),
        (b'{"event_name":"a","timestamp":"2024-01-16T10:31:41Z"}', PARAMETER, "timestamp"),
        (b'{"event_name":"a","timestamp":"2022-12-11T10:31:39Z"}', PARAMETER, "timestamp"),
        (b'{"event_name":"a","timestamp":"9999-12-31T23:59:59-23:59"}', PARAMETER, "timestamp"),
        (b'{"event_name":"a","timestamp":"0001-01-01T00:00:00+23:59"}', PARAMETER, "timestamp"),
        (b'{"event_name":"a","sent_at":"now"}', PARAMETER, "sent_at"),
        (b'{"event_name":"a","properties":[]}', PARAMETER, "properties"),
        (b'{"event_name":"a","properties":"{}"}', PARAMETER, "properties"),
        (b'{"event_name":"a","properties":{"a":NaN}}', PARAMETER, ""),
        (b'{"event_name":"a","properties":{"a":"\\ud800"}}', PARAMETER, ""),
        (b'{"event_name":"a","properties":{"a":"\x01"}}', PARAMETER, ""),
        (b'{"event_name":"a","properties":{"a":"\xff"}}', PARAMETER, "properties"),
        (b'{"event_name":"a","properties":{"a":{"b":"\xff"}}}', PARAMETER, "properties"),
        (b'{"event_name":"a","properties":{"\xff":1}}', PARAMETER, "properties"),
        (b'{"event_name":"a","user_id":"\xff"}', PARAMETER, ""),
        (b'{"event_name":"a","properties":{"a":"x\\u0000"}}', PARAMETER, "properties.a"),
        (b'{"event_name":"a","properties":{"a":{"\\u0000":1}}}', PARAMETER, "properties.a"),
        (b'{"event_name":"a","properties":{"a":1e999}}', PARAMETER, "properties"),
        (b'{"event_name":"a","properties":{"a":[1e999]}}', PARAMETER, "properties"),
        (b'{"event_name":"a","properties":{"a":123456789012345678901}}', PARAMETER, "properties.a"),
        (b'{"event_name":"a","properties":{"a":[{"b":18446744073709551616}]}}', PARAMETER, "properties.a[0].b"),
        (b'{"event_name":"a","context":[]}', PARAMETER, "context"),
        (b'{"event_name":"a","context":{"page":"/"}}', PARAMETER, "context.page"),
        (b'{"event_name":"a","context":{"page":{"url":1}}}', PARAMETER, "context.page.url"),
        (b'{"event_name":"a","context":{"page":{"url":"\\u0000"}}}', PARAMETER, "context.page.url"),
        (b'{"event_name":"a","context":{"ip":"localhost"}}', PARAMETER, "context.ip"),
        (b'{"event_name":"a","context":{"campaign":{"name":true}}}', PARAMETER, "context.campaign.name"),
        (b'{"event_name":"a","unknown":' + b"[" * 30_000 + b"]", PARAMETER, ""),
        (b'{"event_name":' + b"[" * 3_000 + b"]" * 3_000 + b"}", PARAMETER, ""),
        (b'{"event_name":"a","context":{"page":1,"x":' + b"[" * 3_000 + b"]" * 3_000 + b"}}", PARAMETER, ""),
    ],
)
def test_refusals(receipt: Receipt, raw: bytes, code: ErrorCode, field: str) -> None:
    error = refusal(receipt, raw)
    assert (error.code, error.field) == (code, field)
    for language in ("zh", "en"):
        body = error.body(language)
        assert body.message
        assert code is not PARAMETER or body.details["reason"]
    row = rejected_row(error, raw, receipt, "req_1", 0)
    told = error.reason or Text(code.message("zh"), code.message("en"))
    assert stored_reason(row.code, row.reason) == told, "the stored reason can be shown in both languages"


def test_a_name_is_refused_with_what_was_meant(receipt: Receipt) -> None:
    details = refusal(receipt, b'{"event_name":"APP INSTALL"}').body("en").details
    assert details == {"field": "event_name", "value": "APP INSTALL", "suggestion": "app_install"}


def test_an_event_may_have_32_kb_and_no_byte_more(receipt: Receipt) -> None:
    frame = b'{"event_name":"a","properties":{"a":"%b"}}'
    fits = frame % (b"x" * (32 * 1024 - len(frame) + 2))
    assert check_event(fits, receipt).event_name == "a"
    error = refusal(receipt, fits.replace(b"x", b"xx", 1))
    assert error.code is ErrorCode.PAYLOAD_TOO_LARGE
    assert error.details == {"limit": 32768, "actual": 32769}


def nested(levels: int, opening: str = '{"a":', closing: str = "}") -> bytes:
    inner = opening * (levels - 1) + "1" + closing * (levels - 1)
    return f'{{"event_name":"a","properties":{{"p":{inner}}}}}'.encode()


@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_properties_may_be_nested_8_deep(receipt: Receipt, opening: str, closing: str) -> None:
    assert check_event(nested(8, opening, closing), receipt)
    for levels in (9, 900, 5_000):
        assert refusal(receipt, nested(levels, opening, closing)).code is PARAMETER


def test_many_brackets_are_no_depth(receipt: Receipt) -> None:
    wide = {"list": [[1], [2], [3], {"a": []}] * 20, "text": "{[" * 50}
    assert json.loads(bytes(check(receipt, properties=wide).properties)) == wide


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 2**63, 1e300, 0.1, True])
def test_numbers_that_fit_are_kept(receipt: Receipt, number: float) -> None:
    assert json.loads(bytes(check(receipt, properties={"n": number}).properties)) == {"n": number}


def test_an_escaped_backslash_before_u0000_is_no_nul(receipt: Receipt) -> None:
    assert check_event(rb'{"event_name":"a","properties":{"a":"\\u0000"},"user_id":"x\\u0000y"}', receipt)
