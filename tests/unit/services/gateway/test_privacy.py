"""What is left out of an event: parameters of addresses, and part of the client's own."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.channels.addresses import host_of
from pipeline.domain.channels.campaign_tags import is_tag_name, read_tags
from schemas.control import DEFAULT_DROPPED_PARAMETERS, ClientAddress, PrivacySettings, Snapshot
from schemas.events import AcceptedEvent
from schemas.topics import Topic
from services.gateway.privacy import KEEP_ALL, Privacy
from services.gateway.sink import MemorySink

DEFAULT = Privacy(PrivacySettings())
SECRET = "sEcr3t"


@pytest.fixture
def snapshot(snapshot: Snapshot) -> Snapshot:
    """With an app as it is when it is new."""
    return replace(snapshot, apps={"shop": replace(snapshot.apps["shop"], privacy=PrivacySettings())})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://a.example/?token=sEcr3t", "https://a.example/"),
        ("https://a.example/?token=sEcr3t&x=1", "https://a.example/?x=1"),
        ("https://a.example/?x=1&token=sEcr3t", "https://a.example/?x=1"),
        ("https://a.example/?token=sEcr3t&email=sEcr3t&x=1", "https://a.example/?x=1"),
        ("https://a.example/?x=1&Token=sEcr3t&y=2&E-Mail=sEcr3t#top", "https://a.example/?x=1&y=2#top"),
        ("https://a.example/?accessToken=sEcr3t&access-token=sEcr3t", "https://a.example/"),
        ("https://a.example/?user[email]=sEcr3t&a%5Bb%5D%5Bphone%5D=sEcr3t&u[name]=1", "https://a.example/?u[name]=1"),
        ("https://a.example/#access_token=sEcr3t&state=1", "https://a.example/#state=1"),
        ("https://a.example/#/item?token=sEcr3t", "https://a.example/#/item"),
        ("https://a.example/?x=1&amp;token=sEcr3t&amp;y=2", "https://a.example/?x=1&amp;y=2"),
        ("https://a.example/in;jsessionid=sEcr3t?utm_source=x", "https://a.example/in?utm_source=x"),
        ("https://a.example/?token=sEcr3t?utm_source=x", "https://a.example/?utm_source=x"),
        ("https://me:sEcr3t@a.example/x", "https://a.example/x"),
        ("https://a.example/?next=https%3A%2F%2Fb%2F%3Ftoken%3DsEcr3t%26y%3D1&z=1",
         "https://a.example/?next=https%3A%2F%2Fb%2F%3Fy%3D1&z=1"),
        ("https://a.example/?next=%252F%253Ftoken%253DsEcr3t", "https://a.example/?next=%252F"),
        ("https://a.example/?next=%2F%2525252525253Ftoken%2525252525253DsEcr3t", "https://a.example/?next=%2F"),
        ("https://a.example/?a%5Bx_amz_security_token%5D=sEcr3t", "https://a.example/"),
        ("https://a.example/?next=%3Fx_amz_security_token%5D%3DsEcr3t", "https://a.example/?next="),
        ("https://a.example/?emaıl=sEcr3t&sıg=sEcr3t&EMAİL=sEcr3t", "https://a.example/"),
        ("?token=sEcr3t", ""),
        ("https://a.example/?%65mail=sEcr3t&x=1", "https://a.example/?x=1"),
        ("https://a.example/?x=1&%45-M%61il=sEcr3t", "https://a.example/?x=1"),
        ("https://a.example/?%74%6f%6B%65%6e=sEcr3t#%74oken=sEcr3t", "https://a.example/"),
        ("https://a.example/?session%5Fid=sEcr3t&session%2Did=sEcr3t", "https://a.example/"),
        ("https://a.example/?%2565mail=sEcr3t", "https://a.example/"),
        ("https://a.example/?user%5B%65mail%5D=sEcr3t", "https://a.example/"),
        ("https://a.example/in;%6Asessionid=sEcr3t", "https://a.example/in"),
        ("https://a.example/?next=%2F%3F%2565mail%3DsEcr3t%26y%3D1", "https://a.example/?next=%2F%3Fy%3D1"),
    ],
)  # fmt: skip
def test_a_dropped_parameter_goes_and_the_rest_stays(given: str, kept: str) -> None:
    assert DEFAULT.url(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        "https://a.example/?utm_source=a&utm_medium=email&gclid=x&token_count=3&mytoken=1&q=token=1",
        "https://a.example/token=1/@user?code=SPRING#email",
        "https://a.example/?id=42",
        "no address at all",
        "",
    ],
)
def test_anything_else_stays_as_it_came(given: str) -> None:
    assert DEFAULT.url(given) == given


@pytest.mark.parametrize("size_bytes", [0, 16_000])
def test_one_text_among_many_that_holds_a_secret_is_found(size_bytes: int) -> None:
    plain = b'{"a":"https://a.example/?x=1%s"}' % (b"x" * size_bytes)
    for count in (0, 1, 7, 8, 9, 40):
        assert not DEFAULT.may_drop_any([plain] * count)
        assert DEFAULT.may_drop_any([plain] * count + [b'"?token=sEcr3t"'])
        assert DEFAULT.may_drop_any([b'"?token=sEcr3t"'] + [plain] * count)
    assert not KEEP_ALL.may_drop_any([b'"?token=sEcr3t"'])


def test_no_default_is_a_tag_and_no_list_drops_one() -> None:
    assert not [name for name in DEFAULT_DROPPED_PARAMETERS if is_tag_name(name)]
    url = "https://a.example/?utm_source=x&gclid=y&z=1"
    assert Privacy(PrivacySettings(("utm_source", "gclid", "z"))).url(url) == "https://a.example/?utm_source=x&gclid=y"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["token", "Email", "%65mail", "session%2did", "user[phone]", "utm_source", "gclid", "x"]),
            st.text("abcXYZ019-._~%+@", max_size=8),
        ),
        max_size=6,
    ),
    st.sampled_from(["?", "#", "#/a?", "/b;c=d?"]),
)
def test_no_dropped_value_stays_and_the_tags_are_the_same(pairs: list[tuple[str, str]], start: str) -> None:
    marked = [(name, SECRET + value if name not in ("utm_source", "gclid", "x") else value) for name, value in pairs]
    url = "https://shop.example" + start + "&".join(f"{name}={value}" for name, value in marked)
    kept = DEFAULT.url(url)
    assert SECRET not in kept
    assert read_tags(kept) == read_tags(url)
    assert host_of(kept) == host_of(url)
    assert DEFAULT.url(kept) == kept
    assert KEEP_ALL.url(url) == url


def test_long_addresses_take_no_longer_than_their_length_says() -> None:
    """Each of these would take minutes if a part of it were looked at once for every other part."""
    for text in ("?" + "a[" * 16_000, "&amp;" * 6_000, "%25" * 10_000, "%3Ftoken%3D" * 2_900, "://" * 10_000 + "@"):
        DEFAULT.url(text + "=")
        DEFAULT.payload(text + "=")
    for many in ("x_amz_security_token", "_" * 40, "_-" * 15 + "a", "i" * 40):
        names = Privacy(PrivacySettings(("x_amz_security_token", "_" * 40 + "a", "i" * 40 + "b")))
        for start in "&?":
            text = (start + many) * (30_000 // len(many))
            assert names.url(text + "&%42=") == text + "&%42="
            assert names.payload(text) == text


@pytest.mark.parametrize("given", [{"a": {"b": ["https://x/?token=sEcr3t"]}, "n": 1.5}, {"page_url": "/?email=sEcr3t"}])
def test_properties_hold_no_dropped_parameter_at_any_depth(given: dict[str, Any]) -> None:
    raw = msgspec.Raw(msgspec.json.encode(given))
    assert SECRET.encode() not in bytes(DEFAULT.properties(raw))
    assert KEEP_ALL.properties(raw) == raw


@pytest.mark.parametrize(
    "payload",
    [
        '{"event_name":"A","context":{"page":{"url":"https://x/?a=1\\u0026token\\u003dsEcr3t\\"b"}}}',
        '{"event_name":"A","context":{"page":{"url":"https:\\/\\/me:sEcr3t@x\\/"}},',
        '{"url":"https://x/?token=sEcr3',
        '{"url":"https://x/?\\u0065m\\u0061il=sEcr3t"}',
        '{"url":"https://x/?%6\\u0035mail=sEcr3t"}',
    ],
)
def test_a_refused_event_is_kept_without_it(payload: str) -> None:
    assert "sEcr3" not in DEFAULT.payload(payload)
    assert DEFAULT.payload('{"url":"https://x/?token=a","b":"c"}') == '{"url":"https://x/","b":"c"}'


@pytest.mark.parametrize(
    ("given", "shortened"),
    [("203.0.113.77", "203.0.113.0"), ("2001:db8:1:2::3", "2001:db8:1::"), ("", "")],
)
def test_addresses_of_clients(given: str, shortened: str) -> None:
    def of(kind: ClientAddress) -> Privacy:
        return Privacy(PrivacySettings((), kind))

    assert of(ClientAddress.SHORTENED).address(given) == shortened
    assert of(ClientAddress.WHOLE).address(given) == given
    assert of(ClientAddress.NONE).address(given) == ""
    payload = f'{{"context": {{"ip" : "{given}"}}}}'
    assert of(ClientAddress.SHORTENED).payload(payload) == f'{{"context": {{"ip" : "{shortened}"}}}}'
    assert of(ClientAddress.SHORTENED).payload('{"ip":"203.0.113.77:80"}') == '{"ip":""}'


def _event(**more: Any) -> dict[str, Any]:
    page = {
        "url": "https://me:sEcr3t@shop.example/in?utm_source=google&utm_medium=cpc&token=sEcr3t#x=1&email=sEcr3t",
        "referrer": "https://www.google.com/?q=1&session_id=sEcr3t",
    }
    properties = {"page_url": "https://shop.example/?reset_token=sEcr3t", "links": [{"href": "/?phone=sEcr3t&a=1"}]}
    return {"event_name": "page_view", "context": {"ip": "203.0.113.77", "page": page}, "properties": properties} | more


@pytest.mark.parametrize(
    ("path", "body", "kept"),
    [
        ("track", _event(), 1),
        ("batch", {"events": [_event(), _event(own_field=1)]}, 2),
        ("batch", {"events": [_event(), _event(event_name="Not One")]}, 1),
        ("track", _event(event_name="Not One"), 0),
        ("track", _event(context={"page": {"url": "https://x/?token=sEcr3t"}, "ip": "203.0.113.77:80"}), 0),
    ],
)
async def test_what_is_dropped_reaches_no_topic(
    client: httpx.AsyncClient,
    sink: MemorySink,
    stored: Callable[[], list[AcceptedEvent]],
    path: str,
    body: dict[str, Any],
    kept: int,
) -> None:
    await client.post(f"/v1/events/{path}", json=body)
    lines = [line for topic in Topic for line in sink.lines(topic)]
    assert any(lines)
    assert not [line for line in lines if b"sEcr3t" in line or b"203.0.113.77" in line]
    assert len(stored()) == kept
    for event in stored():
        assert event.page_url == "https://shop.example/in?utm_source=google&utm_medium=cpc#x=1"
        assert (event.referrer, event.ip) == ("https://www.google.com/?q=1", "203.0.113.0")
        assert msgspec.json.decode(event.properties)["links"] == [{"href": "/?a=1"}]


async def test_validate_shows_what_would_be_stored(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/events/validate", json=_event(anonymous_id="a-1"))
    (shown,) = answer.json()["data"]["normalized"]
    assert "sEcr3t" not in answer.text
    assert shown["page_url"] == "https://shop.example/in?utm_source=google&utm_medium=cpc#x=1"
    assert (shown["ip"], shown["channel"]) == ("203.0.113.0", "paid_search")


PARTS_OF_ADDRESSES = (
    *("?", "#", "#/", "&", "&amp;", ";", "/", "=", "%3D", "%253d", "%3f", "%2526", "[", "]", "%5B", "%255d", "_", "-"),
    *(
        "token",
        "Access",
        "E_Mail",
        "ſig",
        "phone",
        "x",
        "://",
        "a@",
        "\\u003d",
        "手机",
        "next=",
        "x_amz_security_token",
    ),
    *("a.b", "a%2Eb", "emaıl", "EMAİL", "\u212aey", "%6bey", "%254Bey", "ſecret", "%2525"),
)
SETTINGS = (
    Privacy(PrivacySettings((*DEFAULT_DROPPED_PARAMETERS, "access_x"))),
    *(Privacy(PrivacySettings(names)) for names in (("email",), ("key",), ("secret",), ("a.b",), ("_x", "手机"))),
)


@given(st.lists(st.sampled_from(PARTS_OF_ADDRESSES), max_size=9).map("".join), st.sampled_from(SETTINGS))
def test_what_may_hold_nothing_to_drop_holds_nothing(text: str, privacy: Privacy) -> None:
    if any(pattern.sub("", text) != text for pattern in (privacy._in_address, privacy._encoded_in_address)):
        assert privacy.may_drop(text.encode())
        assert privacy.may_drop(msgspec.json.encode({"a": text}))
        assert privacy.may_drop(json.dumps({"a": text}).encode())


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("start", ["?", "%3F", "?a%5B", "?a[", ";", "%26", "#/"])
@pytest.mark.parametrize("end", ["=", "%3D", "]=", "%5D=", "%5D%3D"])
def test_a_name_is_found_with_whatever_stands_around_it(coded: bool, start: str, end: str) -> None:
    for name in ("x_amz_security_token", "\u212aey", "%6bey", "ſecret", "s\u212aey"):
        only = Privacy(PrivacySettings((name.replace("\u212a", "k").replace("%6b", "k").replace("ſ", "s"),)))
        text = start + name + end + SECRET
        assert only.may_drop((json.dumps(text) if coded else text).encode())


def test_ordinary_addresses_are_not_looked_at_closely() -> None:
    """The close look takes 0.1 µs a character."""
    url = b"https://shop.example/hotel/tel?utm_source=baidu&utm_medium=email&mytoken=1&q=%E5%95%86&tokens=2&a[]=1#phone"
    assert not DEFAULT.may_drop(url)
