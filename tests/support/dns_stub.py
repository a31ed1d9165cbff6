"""A DNS server of one's own on a UDP port, and a resolver that asks it for every name, every time.

`answers`: name → the addresses of its successive answers; the last goes on. That is how rebinding looks: the first
answer is harmless, the next one points inwards.
"""

import asyncio
import socket
import struct
from collections import Counter

from aiohttp.abc import AbstractResolver, ResolveResult


class DnsStub(asyncio.DatagramProtocol):
    def __init__(self, answers: dict[str, list[str]]) -> None:
        self.answers = answers
        self.asked: Counter[str] = Counter()
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        name, end = _read_name(data, 12)
        (kind,) = struct.unpack_from(">H", data, end)
        found = self._next(name) if kind == 1 else ""
        answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(found) if found else b""
        head = data[:2] + struct.pack(">HHHHH", 0x8180 if found else 0x8183, 1, 1 if found else 0, 0, 0)
        self._transport.sendto(head + data[12 : end + 4] + answer, address)

    def _next(self, name: str) -> str:
        known = self.answers.get(name, [])
        self.asked[name] += 1
        return known[min(self.asked[name], len(known)) - 1] if known else ""


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    labels = []
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels), at + 1


class StubResolver(AbstractResolver):
    """Asks the stub, over UDP."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = await asyncio.to_thread(self._ask, host)
        return [ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Do nothing: nothing is kept."""

    def _ask(self, host: str) -> str:
        labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
        question = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\x00" + struct.pack(">HH", 1, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(5)
            asking.sendto(question, ("127.0.0.1", self._port))
            answer = asking.recv(512)
        if struct.unpack_from(">H", answer, 6)[0] == 0:
            raise OSError(f"{host}: no such name")
        return socket.inet_ntoa(answer[-4:])


async def serving_dns(answers: dict[str, list[str]]) -> tuple[DnsStub, int]:
    """The stub and its port; it ends with the loop."""
    loop = asyncio.get_running_loop()
    transport, stub = await loop.create_datagram_endpoint(lambda: DnsStub(answers), local_addr=("127.0.0.1", 0))
    return stub, transport.get_extra_info("sockname")[1]
