"""Addresses of pages taken apart: host, site, and the parameters a link carries. Pure, and never raises.

Everything that looks into an address goes through here, so that one address is read in one way:

- parameters stand behind the first `?`, and behind `#` in single-page apps (`#/item?utm_source=…`, `#utm_source=…`);
- a second `?` separates as `&` does, and `&amp;` (`&#38;`, `&amp;amp;`) is an `&` that went through a page's source;
- `+` is a blank, percent signs are decoded, control characters are left out.
"""

import re
from typing import Final
from urllib.parse import unquote_plus

from pipeline.domain.channels.host_tables import SHARED_SUFFIXES, TWO_LABEL_SUFFIXES

MAX_ADDRESS_CHARACTERS: Final = 4_096
"""Maximum length of an address that is read; the rest is ignored."""
MAX_PARAMETERS: Final = 200
MAX_VALUE_CHARACTERS: Final = 200
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")
_PARAMETER: Final = re.compile(r"^[^/?&=]+=")
_APP_SCHEMES: Final = ("android-app", "ios-app")
_AMP_CACHES: Final = (".cdn.ampproject.org", ".amp.cloudflare.com", ".bing-amp.com")
_AMPERSAND: Final = re.compile(r"&(?:(?:amp|#38);)+", re.IGNORECASE)


def host_of(url: str) -> str:
    """Lower-case host without port, credentials and IPv6 brackets; empty if there is none. Cheap."""
    _, separator, rest = url[:MAX_ADDRESS_CHARACTERS].partition("://")
    if not separator:
        return ""
    authority = rest.partition("/")[0].partition("?")[0].partition("#")[0].rpartition("@")[2]
    if authority.startswith("["):
        return authority[1:].partition("]")[0].partition("%")[0].lower()
    return authority.partition(":")[0].rstrip(".").lower()


def app_of(url: str) -> str:
    """The package of `android-app://com.example.app/…`; empty for anything else."""
    scheme, separator, _ = url[:MAX_ADDRESS_CHARACTERS].partition("://")
    return host_of(url) if separator and scheme.lower() in _APP_SCHEMES else ""


def publisher_of(host: str) -> str:
    """The site whose page an AMP cache shows (of `shop-example.cdn.ampproject.org`: `shop.example`), else the host."""
    cache = next((cache for cache in _AMP_CACHES if host.endswith(cache)), "")
    if not cache:
        return host
    name = host.removesuffix(cache)
    return name.replace("--", "\x00").replace("-", ".").replace("\x00", "-")


def site_of(host: str) -> str:
    """The part of a host its owner registered. A rule of thumb, not the Public Suffix List, which changes weekly."""
    labels = host.split(".")
    if ":" in host or labels[-1].isdigit():  # an address, not a name
        return host
    return ".".join(labels[-site_labels(labels) :])


def site_labels(labels: list[str]) -> int:
    """Return how many labels of a name its owner registered, that of the registry included."""
    is_below_country = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in TWO_LABEL_SUFFIXES
    is_shared = len(labels) > 2 and ".".join(labels[-2:]) in SHARED_SUFFIXES
    return 3 if is_below_country or is_shared else min(2, len(labels))


def is_same_site(one: str, other: str) -> bool:
    return bool(other) and site_of(one) == site_of(other)


def suffixes_of(host: str) -> list[str]:
    """`a.b.c` → `a.b.c`, `b.c`, `c`."""
    labels = host.split(".")
    return [".".join(labels[i:]) for i in range(len(labels))]


def parameters_of(url: str) -> list[tuple[str, str]]:
    """(lower-case name, value) of the parameters of an address, in order; values cut and cleaned."""
    page, _, fragment = _AMPERSAND.sub("&", url[:MAX_ADDRESS_CHARACTERS]).partition("#")
    parts = [page.partition("?")[2], _query_of_fragment(fragment)]
    pairs = "&".join(part for part in parts if part).replace("?", "&").split("&", MAX_PARAMETERS)[:MAX_PARAMETERS]
    found = []
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if separator:
            found.append((_decoded(name).lower(), _decoded(value)))
    return found


def _query_of_fragment(fragment: str) -> str:
    route, separator, query = fragment.partition("?")
    if separator:
        return query
    return route if _PARAMETER.match(route) else ""


def _decoded(text: str) -> str:
    return _CONTROL.sub(
        "", unquote_plus(text[: 9 * MAX_VALUE_CHARACTERS], errors="replace")[:MAX_VALUE_CHARACTERS]
    ).strip()
