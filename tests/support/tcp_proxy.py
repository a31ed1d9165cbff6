"""A TCP proxy on this machine that makes the faults of a network: stalls, lost answers, resets, slow links.

It passes bytes on as they come. In front of a Kafka broker it passes whole messages on and puts its own port where the
broker names its own, so that clients stay behind it.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress

_PIECE_BYTES = 64 * 1024
_HOST = "127.0.0.1"


class TcpProxy:
    """`async with TcpProxy(port) as proxy`: connect to `proxy.port` instead of `port`."""

    def __init__(self, target_port: int, *, is_kafka: bool = False) -> None:
        self._target_port = target_port
        self._is_kafka = is_kafka
        self._server: asyncio.Server
        self._links: set[_Link] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._loses_answers = False
        self._bytes_per_second = 0.0
        self._delay_seconds = 0.0
        self.port = 0

    async def __aenter__(self) -> "TcpProxy":
        self._server = await asyncio.start_server(self._connected, _HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.heal()
        self._server.close()
        self.reset()
        await self._server.wait_closed()

    def stall(self) -> None:
        """Pass nothing on, in either direction; connections stay open."""
        self._flows.clear()

    def lose_answers(self) -> None:
        """Pass requests on and no answers. Connections that lost one are reset by `heal`."""
        self._loses_answers = True

    def slow_down(self, bytes_per_second: float, delay_seconds: float) -> None:
        """Pass each piece on late, and no more than so many bytes a second on each connection."""
        self._bytes_per_second, self._delay_seconds = bytes_per_second, delay_seconds

    def reset(self) -> int:
        """Break every connection off, both sides with a reset; return how many."""
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    def heal(self) -> None:
        """Pass everything on again."""
        self._loses_answers = False
        self._bytes_per_second = self._delay_seconds = 0.0
        for link in list(self._links):
            if link.has_lost_answers:
                link.reset()
        self._flows.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(_HOST, self._target_port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, far_writer)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, far_writer, link, is_answer=False))
                group.create_task(self._pass_on(far_reader, writer, link, is_answer=True))
        except* (OSError, EOFError):
            pass
        finally:
            self._links.discard(link)
            link.reset()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: "_Link", *, is_answer: bool
    ) -> None:
        async for piece in self._pieces(reader, is_answer):
            await self._flows.wait()
            if is_answer and self._loses_answers:
                link.has_lost_answers = True
            if is_answer and link.has_lost_answers:
                continue
            if self._bytes_per_second:
                await asyncio.sleep(self._delay_seconds + len(piece) / self._bytes_per_second)
            writer.write(piece)
            await writer.drain()
        await self._flows.wait()
        if writer.can_write_eof():
            writer.write_eof()

    async def _pieces(self, reader: asyncio.StreamReader, is_answer: bool) -> AsyncIterator[bytes]:
        if not (self._is_kafka and is_answer):
            while piece := await reader.read(_PIECE_BYTES):
                yield piece
            return
        own, its = (_HOST.encode() + struct.pack(">i", port) for port in (self.port, self._target_port))
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(4)
                yield head + (await reader.readexactly(int.from_bytes(head))).replace(its, own)


class _Link:
    """The two connections of one client."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        self.has_lost_answers = False

    def reset(self) -> None:
        for writer in self._writers:
            end = writer.get_extra_info("socket")
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
