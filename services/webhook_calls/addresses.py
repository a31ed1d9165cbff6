"""Checks of the addresses and URLs webhooks may go to. Pure.

Whoever can add an endpoint chooses where this server connects to; so nothing of a private network, of this machine or
of a cloud's metadata service may be reachable. `refusal_of_address` is asked about every address at the moment of
connecting to it, whatever name or notation it came from: DNS that answers differently the second time (rebinding),
decimal and octal notations, names that point inwards all end there. `refusal_of_url` is only the early, friendly word
when an endpoint is added.

Source of the blocks: the IANA special-purpose registries of IPv4 and IPv6, and the multicast registries.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

from pipeline.runtime.client_address import Network

Address = IPv4Address | IPv6Address

MAX_URL_CHARACTERS: Final = 2_048
_BLOCKS: Final[tuple[tuple[str, str], ...]] = (
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared address space"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "a cloud's metadata service"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "AS112"),
    ("192.52.193.0/24", "AMT"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "AS112"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::/96", "IPv4-compatible"),
    ("64:ff9b:1::/48", "local translation"),
    ("100::/64", "discard"),
    ("100:0:0:1::/64", "dummy"),
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "unique local"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
_REFUSED: Final[tuple[tuple[Network, str], ...]] = tuple((ip_network(block), name) for block, name in _BLOCKS)
_GLOBAL_IPV6: Final = ip_network("2000::/3")
_NAT64: Final = ip_network("64:ff9b::/96")
_SIX_TO_FOUR: Final = ip_network("2002::/16")


def refusal_of_address(text: str, allowed: Sequence[Network] = ()) -> str:
    """Return why nothing may be sent to this address; empty if it may."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return f"{text} is no IP address"
    inner = _embedded(address)
    if any(address in network or (inner is not None and inner in network) for network in allowed):
        return ""
    if inner is not None:
        inside = _reason(inner)
        return f"{text} stands for {inner}, which is {inside}" if inside else ""
    reason = _reason(address)
    return f"{text} is {reason}" if reason else ""


def _reason(address: Address) -> str:
    for network, name in _REFUSED:
        if address in network:
            return name
    if address.version == 6 and address not in _GLOBAL_IPV6:
        return "not a public address"
    return ""


def _embedded(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to an IPv6 address may end up at."""
    if not isinstance(address, IPv6Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return address.sixtofour
    return None


def refusal_of_url(url: str, allowed: Sequence[Network] = ()) -> str:
    """Return why this cannot be an endpoint's URL; empty if it can, as far as can be checked without DNS."""
    if len(url) > MAX_URL_CHARACTERS:
        return f"it is longer than {MAX_URL_CHARACTERS} characters"
    if any(character <= " " or character == "\x7f" for character in url) or "\\" in url:
        return "it holds spaces, control characters or backslashes"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it is no URL"
    return _refusal_of_parts(parts, port) or _refusal_of_host(parts.hostname or "", allowed)


def _refusal_of_parts(parts: SplitResult, port: int | None) -> str:
    if parts.scheme not in ("http", "https"):
        return "only http and https are possible"
    if "@" in parts.netloc:
        return "it names a user: what stands before @ is not the host"
    if not parts.hostname:
        return "it names no host"
    if port == 0:
        return "port 0 is none"
    return "it has a fragment, which is never sent" if parts.fragment else ""


def _refusal_of_host(host: str, allowed: Sequence[Network]) -> str:
    bare = host.rstrip(".")
    if ":" in bare or _is_dotted_decimal(bare):
        return refusal_of_address(bare, allowed)
    last = bare.rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):
        return f"{host} is a number in disguise: write an IPv4 address as four decimal numbers"
    if (bare == "localhost" or bare.endswith(".localhost")) and not allowed:
        return f"{host} is this machine"
    return ""


def _is_dotted_decimal(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True
