"""Addresses of the internet: texts that are one, and the client's behind proxies. Pure.

`X-Forwarded-For` is read from the right, as far as proxies that are trusted wrote it: the address a trusted hop saw is
the client's, and what stands left of it is the client's own word. Where a trusted hop wrote no address (`unknown`), the
client has none.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from schemas.caches import cache_short_texts

Network = IPv4Network | IPv6Network

MAX_ADDRESS_CHARACTERS: Final = 45
"""Length of the longest notation of an IPv6 address (RFC 4291, section 2.2)."""
_CLIENT_PREFIX_BITS: Final = 64
_MAX_HOPS: Final = 32
_WITH_PORT: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?\Z|([0-9.]{7,15}):[0-9]{1,5}\Z")


def parse_networks(text: str) -> tuple[Network, ...]:
    """`10.1.0.0/16, 127.0.0.1`: raises `ValueError` naming the one that is none."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def address_of(text: str) -> str | None:
    """The address in its usual form, without a zone; None if `text` is none."""
    if len(text) > MAX_ADDRESS_CHARACTERS or "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def client_network(address: str) -> str:
    """The network one client has: an IPv4 address, or the /64 of an IPv6 address (RFC 6177)."""
    return str(ip_network((address, _CLIENT_PREFIX_BITS), strict=False)) if ":" in address else address


class TrustedProxies:
    """The proxies whose `X-Forwarded-For` is believed."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self.is_trusted = cache_short_texts(1_024, MAX_ADDRESS_CHARACTERS)(self._find)
        self._peer = cache_short_texts(1_024, MAX_ADDRESS_CHARACTERS)(address_of)

    def client(self, peer: str, forwarded_for: bytes) -> str:
        """The client's address; empty where it is not known. `peer`: whose connection it is. `forwarded_for`: the
        header's value, several joined by commas; empty where there is none."""
        address = self._peer(peer) or ""
        if not forwarded_for:
            return address
        for hop in reversed(forwarded_for.decode("latin-1").rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]):
            if not self.is_trusted(address):
                break
            address = address_of(_without_port(hop.strip())) or ""
        return address

    def _find(self, address: str) -> bool:
        return bool(address) and any(ip_address(address) in network for network in self._networks)


def _without_port(hop: str) -> str:
    """`198.51.100.4:8080`, `[2001:db8::1]:443`, `[2001:db8::1]` → the address alone."""
    found = _WITH_PORT.match(hop)
    return found[1] or found[2] if found else hop
