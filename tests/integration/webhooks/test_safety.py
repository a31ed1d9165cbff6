"""Hostile URLs against the real sender: names through a DNS server of our own, odd notations, redirects, long answers.

A trap listens on this machine; it must never be reached by what is refused, and every refusal says why.
"""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web
from dns_stub import StubResolver, serving_dns
from webhook_world import Receiver, answer, receiving, webhook_settings

from services.webhook_calls.sender import MAX_RESPONSE_BYTES, Sender

INWARD = {
    "loopback.evil.example": "127.0.0.1",
    "private.evil.example": "10.0.0.1",
    "private2.evil.example": "172.16.0.1",
    "private3.evil.example": "192.168.0.1",
    "metadata.evil.example": "169.254.169.254",
    "alibaba.evil.example": "100.100.100.200",
    "azure.evil.example": "168.63.129.16",
    "oracle.evil.example": "192.0.0.192",
    "zero.evil.example": "0.0.0.0",
    "broadcast.evil.example": "255.255.255.255",
    "multicast.evil.example": "224.0.0.1",
    "metadata.google.internal": "169.254.169.254",
    "kubernetes.default.svc": "10.96.0.1",
}
HOSTS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "017700000001",
    "0177.0.0.1",
    "00000177.0.0.1",
    "127.0.0.1.",
    "0",
    "0.0.0.0",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "169.254.169.254",
    "[::ffff:169.254.169.254]",
    "100.100.100.200",
    "168.63.129.16",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127.0.0.1%2f.example",
    "user@127.0.0.1",
    "shop.example@127.0.0.1",
    "shop.example:443@127.0.0.1",
    "127.0.0.1#@shop.example",
    "①②⑦.⓪.⓪.①",
    *INWARD,
]


@asynccontextmanager
async def sending(settings_folder: Path, answers: dict[str, list[str]], allowed: str = "") -> AsyncIterator[Sender]:
    _stub, port = await serving_dns(answers)
    sender = Sender(webhook_settings(settings_folder, "", webhook_allowed_networks=allowed), StubResolver(port))
    await sender.start()
    try:
        yield sender
    finally:
        await sender.stop()


@asynccontextmanager
async def trapped() -> AsyncIterator[Receiver]:
    async with receiving() as trap:
        yield trap
        assert not trap.calls, "something that is refused got through"


async def test_no_hostile_host_is_reached_and_each_refusal_has_its_reason(tmp_path: Path) -> None:
    async with trapped() as trap, sending(tmp_path, {name: [inside] for name, inside in INWARD.items()}) as sender:
        assert len(HOSTS) > 30
        for host in HOSTS:
            reply = await sender.post(f"http://{host}:{trap.port}/", {}, b"{}")
            assert reply.status == 0, host
            assert "refused: " in reply.error or reply.error.startswith("DNS"), (host, reply.error)
            if host in INWARD:
                assert reply.error.startswith("address refused: " + INWARD[host]), (host, reply.error)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://127.0.0.1:6379/_", "ftp://shop.example/", "http://"])
async def test_other_schemes_go_nowhere(tmp_path: Path, url: str) -> None:
    async with sending(tmp_path, {}) as sender:
        assert (await sender.post(url, {}, b"{}")).error.startswith("URL refused: ")


async def test_dns_that_answers_differently_the_next_time_gains_nothing(tmp_path: Path) -> None:
    """Allowed at first (as a public address would be), inward later: refused where it is connected to."""
    async with trapped() as trap, receiving() as good:
        names = {"rebind.evil.example": ["127.0.0.2", "127.0.0.1"]}
        async with sending(tmp_path, names, allowed="127.0.0.2/32") as sender:
            first = await sender.post(f"http://rebind.evil.example:{good.port}/", {}, b"{}")
            assert "refused" not in first.error, "127.0.0.2 may be connected to"
            connector = sender._session.connector  # type: ignore[union-attr]
            connector.clear_dns_cache()  # type: ignore[union-attr]
            second = await sender.post(f"http://rebind.evil.example:{trap.port}/", {}, b"{}")
            assert second.error == "address refused: 127.0.0.1 is loopback"


async def test_redirects_are_not_followed(tmp_path: Path) -> None:
    async with trapped() as trap, receiving() as receiver:
        for status in (301, 302, 303, 307, 308):
            receiver.answers["/r"] = answer(status, Location=f"http://169.254.169.254:{trap.port}/latest/meta-data/")
            async with sending(tmp_path, {}, allowed="127.0.0.1") as sender:
                reply = await sender.post(receiver.url("/r"), {}, b"{}")
                assert reply.status == status
                assert reply.error == f"HTTP {status}: redirects are not followed"
        assert len(receiver.calls) == 5


async def test_of_an_answer_only_the_head_is_read(tmp_path: Path) -> None:
    sent = 0

    async def endless(_call: object) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request_of[0])
        for _ in range(100_000):
            await response.write(b"x" * 10_000)
            sent += 10_000
        return response

    request_of: list[web.Request] = []
    app = web.Application()

    async def handle(request: web.Request) -> web.StreamResponse:
        request_of.append(request)
        return await endless(None)

    app.router.add_post("/", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    async with sending(tmp_path, {}, allowed="127.0.0.1") as sender:
        reply = await sender.post(f"http://127.0.0.1:{port}/", {}, b"{}")
    await runner.cleanup()
    assert reply.is_success
    assert len(reply.head) <= MAX_RESPONSE_BYTES
    assert sent < 50_000_000


async def test_a_slow_answer_has_its_time_and_no_more(tmp_path: Path) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = Sender(webhook_settings(tmp_path, "", webhook_timeout_seconds=0.5))
    await sender.start()
    reply = await sender.post(f"http://127.0.0.1:{port}/", {}, b"{}")
    await sender.stop()
    server.close()
    assert reply.status == 0
    assert reply.error.startswith("timeout")


@pytest.mark.parametrize(("informational", "status"), [(3, 200), (1_000_000, 0)])
async def test_informational_answers_are_passed_over_but_not_without_end(
    tmp_path: Path, informational: int, status: int
) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(0, informational, 1_000):
                writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * min(1_000, informational))
                await writer.drain()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with sending(tmp_path, {}, allowed="127.0.0.1") as sender:
        reply = await sender.post(f"http://127.0.0.1:{port}/", {}, b"{}")
    server.close()
    assert reply.status == status
    assert reply.is_success is (status == 200)
    if not status:
        assert "1xx" in reply.error


async def test_a_certificate_nobody_vouches_for_is_not_accepted(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    outputs = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request, *outputs], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with sending(tmp_path, {}, allowed="127.0.0.1") as sender:
        reply = await sender.post(f"https://127.0.0.1:{port}/", {}, b"{}")
    server.close()
    assert reply.error.startswith("TLS: "), reply.error


async def test_a_kept_connection_that_was_closed_costs_no_attempt(tmp_path: Path) -> None:
    """The other end closes after each answer, without saying so."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.read(2)
        writer.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with sending(tmp_path, {}, allowed="127.0.0.1") as sender:
        replies = [await sender.post(url, {}, b"{}") for _ in range(20)]
    server.close()
    assert [reply.status for reply in replies] == [204] * 20


async def test_a_name_nobody_knows_says_so(tmp_path: Path) -> None:
    async with sending(tmp_path, {}) as sender:
        reply = await sender.post("http://nowhere.example/", {}, b"{}")
    assert reply.error.startswith("DNS: "), reply.error


async def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    async with sending(tmp_path, {}, allowed="127.0.0.1") as sender:
        reply = await sender.post(f"http://127.0.0.1:{port}/", {}, b"{}")
    assert reply.error.startswith("connection: "), reply.error
