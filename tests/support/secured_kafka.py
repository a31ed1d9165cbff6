"""Apache Kafka with three listeners besides its open one: TLS with client certificates, and SASL with and without TLS.

The same broker as everywhere else; `settings_of` gives what a client needs at each listener.
"""

import base64
import json
from pathlib import Path
from typing import Any

from certificates import Authority
from pydantic import SecretStr

from deploy.local.apache_kafka import KafkaBroker
from deploy.local.ports import free_port

USER, PASSWORD = "attrikit", "hush; 'hush' %40+/"
_LOGINS = "org.apache.kafka.common.security"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
LISTENERS = ("SSL", *(f"SASL_SSL {mechanism}" for mechanism in MECHANISMS), "SASL_PLAINTEXT SCRAM-SHA-512")


class SecuredKafka(KafkaBroker):
    """`bootstrap` is the open listener, which brokers use among themselves."""

    def __init__(self, data_dir: Path, log_path: Path, port: int | None = None) -> None:
        folder = data_dir.parent / "certificates"
        self.authority = Authority(folder)
        self._ports = {name: free_port() for name in ("SSL", "SASL_SSL", "SASL_PLAINTEXT")}
        self._token = folder / "token"
        self._token.write_text(unsecured_token(USER) + "\n")
        port, controller_port = port or free_port(), free_port()
        super().__init__(
            data_dir,
            log_path,
            port,
            properties=[
                f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},"
                + ",".join(f"{name}://127.0.0.1:{own}" for name, own in self._ports.items()),
                f"controller.quorum.voters=1@127.0.0.1:{controller_port}",
                "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,"
                + ",".join(f"{name}:{name}" for name in self._ports),
                *tls_properties(self.authority, "broker"),
                "listener.name.ssl.ssl.client.auth=required",
                *_logins("sasl_ssl"),
                *_logins("sasl_plaintext"),
            ],
            format_options=[
                option
                for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
                for option in ("--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]")
            ],
        )

    def settings_of(self, listener: str) -> dict[str, Any]:
        """Settings of a client that uses this one of `LISTENERS`."""
        protocol, _, mechanism = listener.partition(" ")
        found: dict[str, Any] = {
            "kafka_bootstrap": f"127.0.0.1:{self._ports[protocol]}",
            "kafka_security_protocol": protocol,
        }
        if protocol.endswith("SSL"):
            found["kafka_ca_path"] = str(self.authority.ca)
        if protocol == "SSL":
            certificate, key = self.authority.issue("client", password="of the key")
            found |= {"kafka_certificate_path": str(certificate), "kafka_key_path": str(key)}
            found["kafka_key_password"] = SecretStr("of the key")
        if mechanism == "OAUTHBEARER":
            return found | {"kafka_sasl_mechanism": mechanism, "kafka_token_path": str(self._token)}
        if mechanism:
            found |= {"kafka_sasl_mechanism": mechanism, "kafka_username": USER, "kafka_password": SecretStr(PASSWORD)}
        return found


def tls_properties(authority: Authority, name: str, address: str = "127.0.0.1") -> list[str]:
    """Return the lines of a broker's configuration with a certificate of its own."""
    certificate, key = authority.issue(name, address=address)
    keys = certificate.with_name(f"{name}-keys.pem")
    keys.write_bytes(key.read_bytes() + certificate.read_bytes())
    return [
        "ssl.keystore.type=PEM",
        f"ssl.keystore.location={keys}",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.location={authority.ca}",
    ]


def _logins(listener: str) -> list[str]:
    start = f"listener.name.{listener}"
    plain = f'{_LOGINS}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    bearer = f'{_LOGINS}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
    lines = {
        "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        "plain.sasl.jaas.config": plain,
        "scram-sha-256.sasl.jaas.config": f"{_LOGINS}.scram.ScramLoginModule required;",
        "scram-sha-512.sasl.jaas.config": f"{_LOGINS}.scram.ScramLoginModule required;",
        "oauthbearer.sasl.jaas.config": bearer,
    }
    return [f"{start}.{name}={value}" for name, value in lines.items()]


def unsecured_token(subject: str, lives_seconds: int = 10**9) -> str:
    """A token without a signature, which a broker set up for tests takes (RFC 7519, section 6)."""
    parts = {"alg": "none"}, {"sub": subject, "iat": 0, "exp": 1_700_000_000 + lives_seconds}
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join(encoded) + "."
