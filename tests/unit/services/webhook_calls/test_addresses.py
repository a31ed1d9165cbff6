"""Addresses webhooks never go to. The same table is tried for real in the integration test of the sender."""

from collections.abc import Callable

import pytest
from console_texts import translated_texts

from pipeline.control.errors import Message
from pipeline.runtime.client_address import parse_networks
from pipeline.runtime.settings import Settings
from services.webhook_calls.addresses import refusal_of_address, refusal_of_url
from services.webhook_calls.new_endpoint import refusal_for

REFUSED = {
    "0.0.0.0": "this network",
    "0.1.2.3": "this network",
    "10.0.0.1": "private",
    "100.100.100.200": "shared",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "168.63.129.16": "metadata",
    "169.254.169.254": "link-local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.192": "protocol",
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4",
    "192.168.1.1": "private",
    "198.18.0.1": "benchmarking",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "224.0.0.1": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:169.254.169.254": "link-local",
    "::ffff:a00:1": "private",
    "::7f00:1": "IPv4-compatible",
    "64:ff9b::7f00:1": "loopback",
    "64:ff9b:1::1": "local translation",
    "100::1": "discard",
    "2001::1": "protocol",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "loopback",
    "2002:a9fe:a9fe::1": "link-local",
    "3fff::1": "documentation",
    "4000::1": "not a public address",
    "fc00::1": "unique local",
    "fd00:ec2::254": "unique local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "nonsense": "no IP address",
}
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
URLS = [
    ("ftp://example.com/", "http and https"),
    ("file:///etc/passwd", "http and https"),
    ("gopher://127.0.0.1:6379/_", "http and https"),
    ("//example.com/", "http and https"),
    ("http:///x", "no host"),
    ("http://", "no host"),
    ("https://user@example.com/", "names a user"),
    ("https://example.com@127.0.0.1/", "names a user"),
    ("https://example.com:80\\@127.0.0.1/", "backslashes"),
    ("https://example.com/ x", "spaces"),
    ("https://example.com/\nHost: x", "spaces"),
    ("https://example.com/#x", "fragment"),
    ("https://example.com:0/", "port 0"),
    ("https://example.com:99999/", "no URL"),
    ("https://[::1/", "no URL"),
    ("https://127.0.0.1/", "loopback"),
    ("https://[::1]/", "loopback"),
    ("https://[::ffff:169.254.169.254]/", "link-local"),
    ("http://2130706433/", "disguise"),
    ("http://0177.0.0.1/", "disguise"),
    ("http://0x7f.0.0.1/", "disguise"),
    ("http://0x7f000001/", "disguise"),
    ("http://127.1/", "disguise"),
    ("http://localhost/", "this machine"),
    ("http://x.localhost./", "this machine"),
    ("https://example.com/" + "x" * 2_048, "longer"),
]


@pytest.mark.parametrize(("address", "reason"), REFUSED.items())
def test_refused_with_its_reason(address: str, reason: str) -> None:
    assert reason in str(refusal_of_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_not(address: str) -> None:
    assert refusal_of_address(address) is None


def test_networks_that_are_allowed() -> None:
    allowed = parse_networks("10.1.0.0/16, 127.0.0.1,fd12::/16")
    assert refusal_of_address("10.1.2.3", allowed) is None
    assert refusal_of_address("::ffff:10.1.2.3", allowed) is None
    assert refusal_of_address("127.0.0.1", allowed) is None
    assert refusal_of_address("fd12::1", allowed) is None
    assert refusal_of_address("10.2.0.1", allowed)
    assert refusal_of_address("127.0.0.2", allowed)
    with pytest.raises(ValueError, match="host bits"):
        parse_networks("10.1.0.1/16")


@pytest.mark.parametrize(("url", "reason"), URLS)
def test_urls_that_cannot_be_endpoints(url: str, reason: str) -> None:
    assert reason in str(refusal_of_url(url))


@pytest.mark.parametrize(
    "url", ["https://your-domain.com/webhooks/attrikit", "http://shop.example:8080/x?y=z", "https://8.8.8.8/"]
)
def test_urls_that_can(url: str) -> None:
    assert refusal_of_url(url) is None


def test_the_english_texts_of_refusals_stay_as_they_were() -> None:
    assert str(refusal_of_url("https://127.0.0.1/")) == "127.0.0.1 is loopback"
    assert str(refusal_of_address("::ffff:a00:1")) == "::ffff:a00:1 stands for 10.0.0.1, which is private"
    assert str(refusal_of_url("https://example.com/" + "x" * 2_048)) == "it is longer than 2048 characters"


def test_a_hint_says_which_setting_allows_an_address_where_one_does(make_settings: Callable[..., Settings]) -> None:
    hint = "; ATTRIKIT_WEBHOOK_ALLOWED_NETWORKS allows networks of your own"
    settings = make_settings()
    assert str(refusal_for(settings, "http://10.0.0.1/")) == "10.0.0.1 is private" + hint
    assert str(refusal_for(settings, "http://localhost/")) == "localhost is this machine" + hint
    assert str(refusal_for(settings, "https://example.com:0/")) == "port 0 is none"
    assert refusal_for(make_settings(webhook_allowed_networks="10.0.0.0/8"), "http://10.0.0.1/") is None


@pytest.mark.parametrize(
    "refusal", [refusal_of_address(one) for one in REFUSED] + [refusal_of_url(one) for one, _ in URLS]
)
def test_a_refusal_can_be_told_in_chinese(refusal: Message) -> None:
    chinese = translated_texts()
    messages = [refusal, *(one for one in refusal.values.values() if isinstance(one, Message))]
    assert [one.template for one in messages if not chinese.get(one.template)] == []
