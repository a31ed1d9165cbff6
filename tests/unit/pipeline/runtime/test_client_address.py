import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime.client_address import TrustedProxies, address_of, parse_networks

PROXIES = TrustedProxies(parse_networks("127.0.0.1, ::1,10.1.0.0/16"))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("198.51.100.4", "198.51.100.4"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:198.51.100.4", "198.51.100.4"),
        ("", None),
        ("unknown", None),
        ("198.51.100.4:80", None),
        ("198.51.100", None),
        ("fe80::1%eth0", None),
        ("::%" + "x" * 60_000, None),
        ("1" * 60_000, None),
    ],
)
def test_texts_that_are_an_address(text: str, address: str | None) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.9", b"", "203.0.113.9"),
        ("203.0.113.9", b"198.51.100.4", "203.0.113.9"),
        ("127.0.0.1", b"", "127.0.0.1"),
        ("127.0.0.1", b"198.51.100.4", "198.51.100.4"),
        ("::1", b" 198.51.100.4 ", "198.51.100.4"),
        ("127.0.0.1", b"203.0.113.9, 198.51.100.4", "198.51.100.4"),
        ("127.0.0.1", b"198.51.100.4, 10.1.2.3", "198.51.100.4"),
        ("127.0.0.1", b"10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", b"198.51.100.4:4711", "198.51.100.4"),
        ("127.0.0.1", b"[2001:db8::1]:443", "2001:db8::1"),
        ("127.0.0.1", b"[2001:db8::1]", "2001:db8::1"),
        ("127.0.0.1", b"2001:db8::1", "2001:db8::1"),
        ("127.0.0.1", b"198.51.100.4, unknown", ""),
        ("127.0.0.1", b"unknown, 198.51.100.4", "198.51.100.4"),
        ("127.0.0.1", b"x" * 60_000, ""),
        ("127.0.0.1", b"127.0.0.1," * 6_000 + b"198.51.100.4", "198.51.100.4"),
        ("127.0.0.1", b"198.51.100.4," + b"127.0.0.1," * 60 + b"127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", b"[2001:db8::1]x443", ""),
        ("127.0.0.1", b",", ""),
        ("", b"198.51.100.4", ""),
    ],
)
def test_the_client_behind_trusted_proxies(peer: str, forwarded_for: bytes, client: str) -> None:
    assert PROXIES.client(peer, forwarded_for) == client


@given(st.binary(max_size=80), st.sampled_from(["127.0.0.1", "203.0.113.9", "testclient", ""]))
def test_it_is_an_address_or_none(forwarded_for: bytes, peer: str) -> None:
    found = PROXIES.client(peer, forwarded_for)
    assert not found or address_of(found) == found


def test_without_trusted_proxies_the_client_is_whoever_connects() -> None:
    assert TrustedProxies(()).client("127.0.0.1", b"198.51.100.4") == "127.0.0.1"


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\.1"):
        parse_networks("10.1.0.0/16, 10.1")
