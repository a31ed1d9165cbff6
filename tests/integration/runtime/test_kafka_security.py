"""Every client over TLS and SASL, against Apache Kafka; the whole product over them is in tests/chaos/test_kill.py."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError
from certificates import Authority
from secured_kafka import LISTENERS, PASSWORD, USER, SecuredKafka, unsecured_token

from pipeline.runtime.kafka.clients import build_consumer, build_fenced_producer, build_producer, open_admin, started
from pipeline.runtime.kafka.connection import GrantedToken
from pipeline.runtime.kafka.group_reader import GroupReader
from pipeline.runtime.kafka.read_range import read_range, whole_range
from pipeline.runtime.kafka.topics import WantedTopic, create_topics
from pipeline.runtime.settings import Settings

pytestmark = pytest.mark.kafka
SECONDS = 60
SCRAM = "SASL_SSL SCRAM-SHA-512"


@pytest.fixture
def topic() -> str:
    return f"secured-{uuid4().hex}"


@pytest.mark.parametrize("listener", LISTENERS)
async def test_every_client_is_let_in(
    kafka_broker: SecuredKafka, make_settings: Callable[..., Settings], topic: str, listener: str
) -> None:
    settings, place = make_settings(**kafka_broker.settings_of(listener)), TopicPartition(topic, 0)
    async with asyncio.timeout(SECONDS):
        await create_topics(settings, [WantedTopic(topic, 1, {})])
        async with started(build_producer(settings)) as producer:
            await producer.send_and_wait(topic, b"1", partition=0)
        async with started(build_fenced_producer(settings, topic)) as producer:
            await producer.send_and_wait(topic, b"2", partition=0)
        async with started(build_consumer(settings)) as consumer:
            ranges = await whole_range(consumer, [place])
            read = [record.value async for _, records in read_range(consumer, ranges) for record in records]
        assert read == [b"1", b"2"]
        reader = GroupReader(settings, [topic], f"group-{topic}", structlog.get_logger())
        await reader.start()
        try:
            while not (found := await reader.read(timeout_ms=200)):
                pass
            assert [record.value for record in found[place]] == [b"1", b"2"]
            assert await reader.commit({place: (2, "")})
        finally:
            await reader.stop()
        async with open_admin(settings) as admin:
            committed = await admin.list_consumer_group_offsets(f"group-{topic}")
        assert committed[place].offset == 2


@pytest.mark.parametrize(
    ("listener", "wrong", "said"),
    [
        (SCRAM, {"kafka_password": "guess"}, "invalid credentials with SASL mechanism SCRAM-SHA-512"),
        (SCRAM, {"kafka_ca_path": ""}, "CERTIFICATE_VERIFY_FAILED"),
        (SCRAM, {"kafka_security_protocol": "SASL_PLAINTEXT"}, "closed"),
        ("SSL", {"kafka_certificate_path": "", "kafka_key_path": ""}, "closed|CERTIFICATE_REQUIRED"),
    ],
)
async def test_a_client_with_the_wrong_papers_is_told_so(
    kafka_broker: SecuredKafka, make_settings: Callable[..., Settings], listener: str, wrong: dict[str, str], said: str
) -> None:
    settings = make_settings(**kafka_broker.settings_of(listener) | wrong)
    async with asyncio.timeout(SECONDS):
        with pytest.raises(KafkaConnectionError, match=f"127.0.0.1:.*({said})"):
            async with open_admin(settings):
                pass


async def test_certificates_renewed_on_disk_are_used_by_the_next_connection(
    kafka_broker: SecuredKafka, make_settings: Callable[..., Settings], tmp_path: Path, topic: str
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Authority(tmp_path / "other", "another authority").ca.read_bytes())
    settings = make_settings(**kafka_broker.settings_of(SCRAM) | {"kafka_ca_path": str(ca)})
    producer = build_producer(settings)
    async with asyncio.timeout(SECONDS):
        await create_topics(make_settings(**kafka_broker.settings_of(SCRAM)), [WantedTopic(topic, 1, {})])
        with pytest.raises(KafkaError):
            await producer.start()
        ca.write_bytes(kafka_broker.authority.ca.read_bytes())
        async with started(producer):
            await producer.send_and_wait(topic, b"1", partition=0)


class TokenServer(ThreadingHTTPServer):
    """Gives a token for the client credentials grant, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _TokenRequest)
        self.asked: list[tuple[str, str]] = []


class _TokenRequest(BaseHTTPRequestHandler):
    server: TokenServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.asked.append((self.headers["Authorization"].partition(" ")[0], body))
        answer = json.dumps({"access_token": unsecured_token(USER), "expires_in": 100}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    with TokenServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_a_token_is_asked_for_with_the_clients_credentials_and_kept_for_most_of_its_life(
    kafka_broker: SecuredKafka, make_settings: Callable[..., Settings], tokens: TokenServer
) -> None:
    settings = make_settings(
        **kafka_broker.settings_of("SASL_SSL OAUTHBEARER")
        | {"kafka_token_path": "", "kafka_token_url": f"http://127.0.0.1:{tokens.server_port}/token"}
        | {"kafka_username": USER, "kafka_password": PASSWORD, "kafka_token_scope": "kafka"}
    )
    async with asyncio.timeout(SECONDS), open_admin(settings) as admin:
        assert await admin.list_topics() is not None
    assert tokens.asked == [("Basic", "grant_type=client_credentials&scope=kafka")]
    now = [0.0]
    provider = GrantedToken(settings, lambda: now[0])
    for now[0], calls in ((0.0, 2), (79.0, 2), (81.0, 3)):
        assert await provider.token() == unsecured_token(USER)
        assert len(tokens.asked) == calls
