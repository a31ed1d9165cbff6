"""Classes of faults, each done for a moment and taken away again: of networks, disks, files, clocks, locks, groups."""

import asyncio
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from fault_site import DISPATCHER, Fault, Site
from installation import SECOND_WORKER
from tcp_proxy import TcpProxy

_LONG_STALL_SHARE = 0.08
_LONG_STALL_SECONDS = 11.0
"""Longer than the clients of the broker wait for an answer."""
_PAGE_BYTES = 4096


def _some_links(site: Site, random: Random) -> list[TcpProxy]:
    """One link, or all that lead to the broker."""
    if random.random() < 0.2:
        return [proxy for name, proxy in site.links.items() if name.startswith("broker")]
    return [site.links[random.choice(sorted(site.links))]]


async def stall(site: Site, random: Random) -> None:
    """A network that passes nothing on, and keeps its connections."""
    links = _some_links(site, random)
    for link in links:
        link.stall()
    await asyncio.sleep(_LONG_STALL_SECONDS if random.random() < _LONG_STALL_SHARE else random.uniform(0.2, 3.0))
    _heal(links)


async def lose_answers(site: Site, random: Random) -> None:
    """Requests arrive, and their answers do not: whether they took effect is not known."""
    links = _some_links(site, random)
    for link in links:
        link.lose_answers()
    await asyncio.sleep(random.uniform(0.1, 2.0))
    _heal(links)


async def reset(site: Site, random: Random) -> None:
    """Connections break, once or several times on end."""
    links = _some_links(site, random)
    for _ in range(random.randint(1, 5)):
        for link in links:
            link.reset()
        await asyncio.sleep(random.uniform(0.0, 0.3))


async def slow_down(site: Site, random: Random) -> None:
    """A link of a few tens of kilobytes a second."""
    links = _some_links(site, random)
    for link in links:
        link.slow_down(random.uniform(20_000, 200_000), random.uniform(0.0, 0.2))
    await asyncio.sleep(random.uniform(0.5, 3.0))
    _heal(links)


def _heal(links: list[TcpProxy]) -> None:
    for link in links:
        link.heal()


async def fill_disk(site: Site, random: Random) -> None:
    """The disk with the tables, the stream's state, the control plane and the logs has no byte left."""
    filler = site.installation.settings.data_dir / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            free = shutil.disk_usage(filler.parent).free
            os.posix_fallocate(file.fileno(), filler.stat().st_size, max(free, _PAGE_BYTES))
    await asyncio.sleep(random.uniform(0.3, 3.0))
    filler.unlink()


async def damage_state(site: Site, random: Random) -> None:
    """A process dies, and of what it keeps on disk a file is cut, changed or gone, or all of it is."""
    name, folder = random.choice(
        [("worker", "stream"), ("worker", "stream"), ("worker", "stream"), ("store", "clickhouse")]
    )
    path = site.installation.data_dir(name) / folder
    site.away.add(name)
    site.installation.processes[name].kill()
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size)
    if name == "store" or random.random() < 0.25 or not files:
        shutil.rmtree(path)
    else:
        _damage(random.choice(files), random)
    site.launch(name)
    site.away.discard(name)


def _damage(path: Path, random: Random) -> None:
    data = bytearray(path.read_bytes())
    kind = random.choice(("cut", "change", "delete"))
    if kind == "delete":
        path.unlink()
        return
    at = random.randrange(len(data))
    path.write_bytes(data[:at] if kind == "cut" else data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])


async def step_clock(site: Site, random: Random) -> None:
    """The clock of one process jumps, and stays wrong until it jumps again."""
    name = random.choice(sorted(site.clocks))
    seconds = random.choice((0, random.randint(-3_000, 3_000), random.randint(-60, 60)))
    # Events received after the present, by this machine's clock, are no concern of the ledger yet.
    seconds = min(seconds, 0) if name == "gateway" else seconds
    site.clocks[name].write_text(f"{seconds:+d}\n")
    await asyncio.sleep(random.uniform(1.1, 2.5))


async def lock_control_plane(site: Site, random: Random) -> None:
    """Another holds the control plane's database for itself; half of the times a process starts meanwhile."""
    with _exclusive(site.installation.settings.data_dir / "control.db"):
        seconds = random.uniform(0.3, 7.0)
        if random.random() < 0.5:
            name = random.choice(("gateway", "store", "worker", DISPATCHER))
            site.installation.processes[name].kill()
            site.launch(name)
        await asyncio.sleep(seconds)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    connection = sqlite3.connect(path, timeout=20.0, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


async def rebalance(site: Site, random: Random) -> None:
    """A second worker joins, leaves, dies and stands still, one soon after the other, while partitions are taken. It is
    there in the end.
    """
    process = site.installation.processes[SECOND_WORKER]
    for _ in range(random.randint(2, 4)):
        if not process.is_running:
            site.launch(SECOND_WORKER)
        else:
            act = random.choice(("leave", "die", "freeze"))
            if act == "freeze":
                process.signal(signal.SIGSTOP)
                await asyncio.sleep(random.uniform(0.5, 8.0))
                process.signal(signal.SIGCONT)
            else:
                await asyncio.to_thread(process.stop, 30.0 if act == "leave" else 0.0)
        await asyncio.sleep(random.uniform(0.0, 4.0))
    site.away.add(SECOND_WORKER)


FAULTS: dict[str, Fault] = {
    "stalls": stall,
    "lost answers": lose_answers,
    "resets": reset,
    "slow links": slow_down,
    "full disk": fill_disk,
    "damaged state": damage_state,
    "clock steps": step_clock,
    "locked control plane": lock_control_plane,
    "rebalances": rebalance,
}
