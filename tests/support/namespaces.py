"""A network of the test's own: hosts that are network namespaces of this machine, joined by a bridge.

The hosts reach each other, and what runs on this machine itself at `Network.address`, and nothing else. The bridge has
a namespace of its own too: this machine's firewall would else filter what hosts send each other, and Docker's drops it.
Needs iproute2 and root.
"""

import subprocess
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import product
from typing import Final

import pytest

HERE: Final = ""
"""This machine itself, as a host of the network."""
_BRIDGE: Final = "bridge"
_NOBODY: Final = "02:00:00:00:00:fe"
"""A hardware address that no host has: the bridge passes on what is sent there, and everybody drops it."""


class Network:
    """`name`: of this machine's cable to the bridge, at most 13 characters. `subnet`: the first three numbers of its
    addresses.
    """

    def __init__(self, name: str, subnet: str, hosts: Iterable[str]) -> None:
        self._name = name
        self.range = f"{subnet}.0/24"
        self.address = f"{subnet}.1"
        self.addresses = {host: f"{subnet}.{number}" for number, host in enumerate(hosts, 2)}
        self._parted: set[tuple[str, str]] = set()

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make the hosts and the bridge, anew where a killed run left some. Skips where that is refused."""
        spaces = [self._space(host) for host in (*self.addresses, _BRIDGE)]
        for words in (f"link del {self._name}", *(f"netns del {space}" for space in spaces)):
            with suppress(OSError, subprocess.CalledProcessError):
                _ip(words)
        with ExitStack() as undo:
            try:
                self._make(undo)
            except (OSError, subprocess.CalledProcessError) as error:
                pytest.skip(f"no network namespaces can be made here (iproute2, root): {error}")
            yield

    def inside(self, host: str, *command: str) -> list[str]:
        """Return the command that runs this one on a host."""
        return ["ip", "netns", "exec", self._space(host), *command]

    def part(self, some: Collection[str], others: Collection[str]) -> None:
        """Drop whatever hosts of one side send to those of the other, without a word. `HERE` may be one of them."""
        for pair in [*product(some, others), *product(others, some)]:
            self._parted.add(pair)
            self._neighbour(*pair, "replace", f"lladdr {_NOBODY} nud permanent")

    def heal(self) -> None:
        """Let all hosts reach each other again."""
        while self._parted:
            self._neighbour(*self._parted.pop(), "del")

    def _make(self, undo: ExitStack) -> None:
        space = self._add_space(_BRIDGE, undo)
        _ip("-n", space, "link add", _BRIDGE, "type bridge")
        _ip("-n", space, "link set", _BRIDGE, "up")
        self._plug_in(self._name, f"name {self._name}")
        undo.callback(_ip, "link del", self._name)
        _ip("addr add", f"{self.address}/24", "dev", self._name)
        _ip("link set", self._name, "up")
        for host, address in self.addresses.items():
            self._add_host(host, address, undo)

    def _add_host(self, host: str, address: str, undo: ExitStack) -> None:
        space = self._add_space(host, undo)
        self._plug_in(space, f"name eth0 netns {space}")
        _ip("-n", space, "addr add", f"{address}/24", "dev eth0")
        for device in ("eth0", "lo"):
            _ip("-n", space, "link set", device, "up")

    def _add_space(self, host: str, undo: ExitStack) -> str:
        space = self._space(host)
        _ip("netns add", space)
        undo.callback(_ip, "netns del", space)
        return space

    def _plug_in(self, cable: str, end: str) -> None:
        """Lay a cable from the bridge to `end`."""
        space = self._space(_BRIDGE)
        _ip("link add", cable, "netns", space, "type veth peer", end)
        _ip("-n", space, "link set", cable, "master", _BRIDGE, "up")

    def _neighbour(self, sender: str, receiver: str, change: str, to: str = "") -> None:
        where = ["-n", self._space(sender)] if sender else []
        address = self.addresses[receiver] if receiver else self.address
        _ip(*where, "neigh", change, address, "dev", "eth0" if sender else self._name, to)

    def _space(self, host: str) -> str:
        return f"{self._name}-{host}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *" ".join(words).split()], check=True, capture_output=True)
