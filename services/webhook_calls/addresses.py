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

from pipeline.control.errors import Message, message
from pipeline.runtime.client_address import Network

Address = IPv4Address | IPv6Address

MAX_URL_CHARACTERS: Final = 2_048
_BLOCKS: Final[tuple[tuple[str, Message], ...]] = (
    ("0.0.0.0/8", message("this network")),
    ("10.0.0.0/8", message("private")),
    ("100.64.0.0/10", message("shared address space")),
    ("127.0.0.0/8", message("loopback")),
    ("168.63.129.16/32", message("a cloud's metadata service")),
    ("169.254.0.0/16", message("link-local")),
    ("172.16.0.0/12", message("private")),
    ("192.0.0.0/24", message("protocol assignments")),
    ("192.0.2.0/24", message("documentation")),
    ("192.31.196.0/24", message("AS112")),
    ("192.52.193.0/24", message("AMT")),
    ("192.88.99.0/24", message("6to4 relay")),
    ("192.168.0.0/16", message("private")),
    ("192.175.48.0/24", message("AS112")),
    ("198.18.0.0/15", message("benchmarking")),
    ("198.51.100.0/24", message("documentation")),
    ("203.0.113.0/24", message("documentation")),
    ("224.0.0.0/4", message("multicast")),
    ("240.0.0.0/4", message("reserved")),
    ("::/128", message("unspecified")),
    ("::1/128", message("loopback")),
    ("::/96", message("IPv4-compatible")),
    ("64:ff9b:1::/48", message("local translation")),
    ("100::/64", message("discard")),
    ("100:0:0:1::/64", message("dummy")),
    ("2001::/23", message("protocol assignments")),
    ("2001:db8::/32", message("documentation")),
    ("3fff::/20", message("documentation")),
    ("5f00::/16", message("segment routing")),
    ("fc00::/7", message("unique local")),
    ("fe80::/10", message("link-local")),
    ("fec0::/10", message("site-local")),
    ("ff00::/8", message("multicast")),
)
_NOT_PUBLIC: Final = message("not a public address")
_KINDS: Final = {str(kind): kind for kind in (*(kind for _, kind in _BLOCKS), _NOT_PUBLIC)}
NO_ADDRESS: Final = message("%(address)s is no IP address")
IN_DISGUISE: Final = message("%(host)s is a number in disguise: write an IPv4 address as four decimal numbers")
THIS_MACHINE: Final = message("%(host)s is this machine")
STANDS_FOR: Final = message("%(address)s stands for %(inner)s, which is %(kind)s")
IS_OF_KIND: Final = message("%(address)s is %(kind)s")
TOO_LONG: Final = message("it is longer than %(most)s characters")
HAS_SPACES: Final = message("it holds spaces, control characters or backslashes")
NO_URL: Final = message("it is no URL")
NOT_HTTP: Final = message("only http and https are possible")
NAMES_USER: Final = message("it names a user: what stands before @ is not the host")
NO_HOST: Final = message("it names no host")
NO_PORT: Final = message("port 0 is none")
HAS_FRAGMENT: Final = message("it has a fragment, which is never sent")
_REFUSALS: Final = (
    *(NO_ADDRESS, IN_DISGUISE, THIS_MACHINE, STANDS_FOR, IS_OF_KIND),
    *(TOO_LONG, HAS_SPACES, NO_URL, NOT_HTTP, NAMES_USER, NO_HOST, NO_PORT, HAS_FRAGMENT),
)
_REFUSED: Final[tuple[tuple[Network, Message], ...]] = tuple((ip_network(block), kind) for block, kind in _BLOCKS)
_GLOBAL_IPV6: Final = ip_network("2000::/3")
_NAT64: Final = ip_network("64:ff9b::/96")
_SIX_TO_FOUR: Final = ip_network("2002::/16")


def refusal_of_address(text: str, allowed: Sequence[Network] = ()) -> Message | None:
    """Return why nothing may be sent to this address; None if it may."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return NO_ADDRESS.filled(address=text)
    inner = _embedded(address)
    if any(address in network or (inner is not None and inner in network) for network in allowed):
        return None
    kind = _kind_of(inner or address)
    if kind is None:
        return None
    if inner is not None:
        return STANDS_FOR.filled(address=text, inner=inner, kind=kind)
    return IS_OF_KIND.filled(address=text, kind=kind)


def _kind_of(address: Address) -> Message | None:
    """Return what makes an address one that is refused."""
    for network, kind in _REFUSED:
        if address in network:
            return kind
    if address.version == 6 and address not in _GLOBAL_IPV6:
        return _NOT_PUBLIC
    return None


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


def refusal_of_url(url: str, allowed: Sequence[Network] = ()) -> Message | None:
    """Return why this cannot be an endpoint's URL; None if it can, as far as can be checked without DNS."""
    if len(url) > MAX_URL_CHARACTERS:
        return TOO_LONG.filled(most=MAX_URL_CHARACTERS)
    if any(character <= " " or character == "\x7f" for character in url) or "\\" in url:
        return HAS_SPACES
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return NO_URL
    return _refusal_of_parts(parts, port) or _refusal_of_host(parts.hostname or "", allowed)


def _refusal_of_parts(parts: SplitResult, port: int | None) -> Message | None:
    if parts.scheme not in ("http", "https"):
        return NOT_HTTP
    if "@" in parts.netloc:
        return NAMES_USER
    if not parts.hostname:
        return NO_HOST
    if port == 0:
        return NO_PORT
    return HAS_FRAGMENT if parts.fragment else None


def _refusal_of_host(host: str, allowed: Sequence[Network]) -> Message | None:
    bare = host.rstrip(".")
    if ":" in bare or _is_dotted_decimal(bare):
        return refusal_of_address(bare, allowed)
    last = bare.rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):
        return IN_DISGUISE.filled(host=host)
    if (bare == "localhost" or bare.endswith(".localhost")) and not allowed:
        return THIS_MACHINE.filled(host=host)
    return None


def _is_dotted_decimal(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


def refusal_in(text: str) -> Message | None:
    """Return the refusal that a text says; None: it says none of these."""
    for refusal in _REFUSALS:
        values = refusal.values_in(text)
        if values is None:
            continue
        if "kind" not in values:
            return refusal.filled(**values)
        if kind := _KINDS.get(values["kind"]):
            return refusal.filled(**values | {"kind": kind})
    return None
