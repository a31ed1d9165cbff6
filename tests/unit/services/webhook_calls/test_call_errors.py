"""Errors of calls, read back from their stored English texts."""

import ast
from pathlib import Path

import pytest
from console_texts import translated_texts

from pipeline.control.errors import Message
from services import webhooks
from services.webhook_calls import call_errors
from services.webhook_calls.addresses import refusal_of_address, refusal_of_url
from services.webhook_calls.call_errors import ERRORS, error_in
from services.webhook_calls.sender import describe

URLS = (
    *("ftp://example.com/", "http://", "https://user@example.com/", "https://example.com/ x", "https://example.com/#x"),
    *("https://example.com:0/", "https://[::1/", "http://127.1/", "http://localhost/", "https://e.com/" + "x" * 2_048),
)
REFUSALS = [refusal_of_url(one) for one in URLS]
REFUSALS += [refusal_of_address(one) for one in ("10.0.0.1", "::ffff:169.254.169.254", "4000::1", "fd00::1", "none")]


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_a_refusal_is_read_back_with_its_values(refusal: Message) -> None:
    for error in (call_errors.URL_REFUSED, call_errors.ADDRESS_REFUSED):
        written = error.filled(refusal=refusal)
        read = error_in(str(written))
        assert str(read) == str(written)
        assert read.template == error.template
        inner = read.values["refusal"]
        assert isinstance(inner, Message)
        assert inner.template == refusal.template


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("timeout: no complete answer within 2.5 s", "timeout: no complete answer within %(seconds)s s"),
        ("DNS: [Errno -2] Name or service not known", "DNS: %(error)s"),
        ("TLS: certificate has expired, 100% sure", "TLS: %(error)s"),
        ("connection: Connect call failed ('127.0.0.1', 9)", "connection: %(error)s"),
        ("HTTP 302: redirects are not followed", "HTTP %(status)s: redirects are not followed"),
        ("not tried: the endpoint is paused", "not tried: the endpoint is paused"),
        ("not tried: KeyError on our side", "not tried: %(error)s on our side"),
        ("no success for 120 hours", "no success for %(hours)s hours"),
    ],
)
def test_an_error_is_read_back(text: str, template: str) -> None:
    read = error_in(text)
    assert (read.template, str(read)) == (template, text)
    assert translated_texts()[template]


def test_why_an_endpoint_is_disabled_is_a_message_of_its_own() -> None:
    read = error_in("not tried: the endpoint is disabled (no success for 120 hours)")
    assert read.values["because"] == call_errors.NO_SUCCESS.filled(hours="120")


@pytest.mark.parametrize("text", ["", "HTTP 500", "of a later version: %s 5%", "address refused"])
def test_what_is_not_known_stays_as_it_is(text: str) -> None:
    assert str(error_in(text)) == text


def test_the_stored_texts_stay_as_they_were() -> None:
    assert describe(TimeoutError(), 10.0) == "timeout: no complete answer within 10 s"
    assert describe(OSError("x"), 10.0) == "connection: OSError: x"
    assert str(call_errors.DISABLED.filled(because="it answered 410 Gone")) == (
        "not tried: the endpoint is disabled (it answered 410 Gone)"
    )


def test_every_error_is_known() -> None:
    """Nothing but a message of `call_errors` is written as the error of a delivery that was not tried."""
    found = [
        node for path in Path(webhooks.__file__).parent.glob("*.py") for node in ast.walk(ast.parse(path.read_text()))
    ]
    texts = [node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert [one for one in texts if one.startswith("not tried")] == []
    assert len(ERRORS) == len([one for one in vars(call_errors).values() if isinstance(one, Message)])
