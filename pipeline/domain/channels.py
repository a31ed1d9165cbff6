"""Where a person came from: ordered rules, the first that matches wins.

1. A click id in the page's address: an ad was clicked. Its platform gives the channel, unless the tags beside it name
   another kind of advertising (Google puts a `gclid` on display and video clicks too). `fbclid` proves nothing paid: it
   is on shared posts as well, so it is `paid_social` beside a paid medium and else `organic_social`.
2. Campaign tags, from the event's campaign fields, else `utm_*` in the address: the medium decides, where it is generic
   or absent the source. Tags make a click, unless they name an unpaid channel.
3. The referrer: a payment or sign-in page is a step of the visit and says nothing; the site itself neither; then known
   search engines, social sites, AI assistants and web mail; any other site is a referral.
4. Else direct.
"""

import re
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from pipeline.domain.channel_tables import (
    AI_SOURCES,
    CLICK_IDS,
    COUNTRY_HOSTS,
    FEED_SOURCES,
    GENERIC_PAID_MEDIA,
    HOSTS,
    MEDIUM_OF,
    OTHER_MEDIA,
    PAID_MEDIA,
    SEARCH_SOURCES,
    SHARED_CLICK_ID,
    SHARED_SUFFIXES,
    SOCIAL_SOURCES,
    SOURCE_ALIASES,
    STEPS_OF_A_VISIT,
    SYNDICATION_SOURCES,
    TWO_LABEL_SUFFIXES,
    UNPAID,
    Channel,
)

MAX_TAG_CHARACTERS: Final = 200
_CLICK_ID_NAMES: Final = (*CLICK_IDS, SHARED_CLICK_ID)
_TAG: Final = re.compile(rf"[?&](?:utm_(?:source|medium|campaign|id)|{'|'.join(_CLICK_ID_NAMES)})=[^&#]", re.IGNORECASE)
_WORD_BREAKS: Final = re.compile(r"[\s\-]+")


class Arrival(msgspec.Struct, frozen=True):
    """How somebody came. `is_click`: through an ad or a tagged campaign, so the last-click models may credit it."""

    channel: str
    source: str
    medium: str
    campaign: str
    is_click: bool


class Tags(msgspec.Struct, frozen=True):
    """What a link says about itself. Source and medium are normalised, the campaign is the marketer's own word."""

    source: str = ""
    medium: str = ""
    campaign: str = ""
    click_id: str = ""
    """Name of the click-id parameter, not its value."""


DIRECT: Final = Arrival(Channel.DIRECT, "direct", MEDIUM_OF[Channel.DIRECT], "", False)


def has_tags(page_url: str) -> bool:
    """Whether rule 1 or 2 could match; a plain product page (`?id=42`) costs one search."""
    return "?" in page_url and _TAG.search(page_url) is not None


def classify_arrival(page_url: str, referrer: str, source: str, medium: str, campaign: str) -> Arrival:
    """`source`, `medium`, `campaign`: the event's own campaign fields, which go before the page's tags."""
    if source or medium or campaign or has_tags(page_url):
        return _by_tags(_merge(source, medium, campaign, page_url)) or classify_referrer(referrer, page_url)
    return classify_referrer(referrer, page_url) if referrer else DIRECT


def classify_ad(properties: dict[str, Any], page_url: str, source: str, medium: str, campaign: str) -> Arrival:
    """The channel of an `ad_*` event: its properties first, then the campaign fields and the page's tags.

    It *is* an ad, so it is never direct, organic or a referral: what cannot be told is `paid_other`.
    """
    tags = _merge(
        _text(properties, "source", "utm_source", "platform") or source,
        _text(properties, "medium", "utm_medium") or medium,
        _text(properties, "campaign", "utm_campaign", "campaign_name") or campaign,
        page_url,
    )
    named = _word(_text(properties, "channel"))
    if named and named not in UNPAID:
        return Arrival(named, tags.source, tags.medium, tags.campaign, True)
    found = _by_tags(tags)
    if found is not None and found.is_click and found.channel != Channel.OTHER_CAMPAIGN:
        return found
    channel = _paid_by_source(tags.source, Channel.PAID_OTHER)
    return Arrival(channel, tags.source, tags.medium or MEDIUM_OF.get(channel, ""), tags.campaign, True)


def _by_tags(tags: Tags) -> Arrival | None:
    """Rules 1 and 2."""
    if tags.click_id:
        return _by_click_id(tags)
    channel = _tagged_channel(tags)
    if channel is None:
        return None
    medium = tags.medium or MEDIUM_OF.get(channel, "")
    return Arrival(channel, tags.source, medium, tags.campaign, channel not in UNPAID)


def _by_click_id(tags: Tags) -> Arrival:
    if tags.click_id == SHARED_CLICK_ID:
        is_paid = tags.medium in PAID_MEDIA or tags.medium in GENERIC_PAID_MEDIA
        channel, source = (Channel.PAID_SOCIAL if is_paid else Channel.ORGANIC_SOCIAL), "facebook"
    else:
        channel, source = CLICK_IDS[tags.click_id]
        channel = PAID_MEDIA.get(tags.medium, channel)
    medium = tags.medium or MEDIUM_OF[channel]
    return Arrival(channel, tags.source or source, medium, tags.campaign, channel not in UNPAID)


def _tagged_channel(tags: Tags) -> Channel | None:
    medium, source = tags.medium, tags.source
    if source in SYNDICATION_SOURCES:
        return Channel.REFERRAL
    if medium in PAID_MEDIA:
        return PAID_MEDIA[medium]
    if medium in GENERIC_PAID_MEDIA:
        return _paid_by_source(source, Channel.PAID_SEARCH if medium in ("cpc", "ppc") else Channel.PAID_OTHER)
    if medium in OTHER_MEDIA:
        return OTHER_MEDIA[medium]
    if source in AI_SOURCES:
        return Channel.AI_ASSISTANT
    if not medium and source:
        return _unpaid_by_source(source)
    return Channel.OTHER_CAMPAIGN if medium or tags.campaign else None


def _paid_by_source(source: str, otherwise: Channel) -> Channel:
    if source in SEARCH_SOURCES:
        return Channel.PAID_SEARCH
    if source in FEED_SOURCES:
        return Channel.FEED
    return Channel.PAID_SOCIAL if source in SOCIAL_SOURCES else otherwise


def _unpaid_by_source(source: str) -> Channel:
    """A source alone: a link somebody shared, not an ad somebody bought."""
    if source in OTHER_MEDIA:
        return OTHER_MEDIA[source]
    if source in SOCIAL_SOURCES:
        return Channel.ORGANIC_SOCIAL
    return Channel.ORGANIC_SEARCH if source in SEARCH_SOURCES else Channel.OTHER_CAMPAIGN


# Tags


def _merge(source: str, medium: str, campaign: str, page_url: str) -> Tags:
    on_page = read_tags(page_url) if has_tags(page_url) else _NO_TAGS
    return Tags(
        _source_word(source) or on_page.source,
        _word(medium) or on_page.medium,
        campaign[:MAX_TAG_CHARACTERS].strip() or on_page.campaign,
        on_page.click_id,
    )


_NO_TAGS: Final = Tags()


@lru_cache(maxsize=4096)
def read_tags(page_url: str) -> Tags:
    """The tags in an address; of a repeated parameter the first that is not empty. Every event of a landing page brings
    the same address, hence the cache."""
    query = page_url.partition("?")[2].partition("#")[0]
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, errors="replace"):
        found.setdefault(name.lower(), value[:MAX_TAG_CHARACTERS].strip())
    return Tags(
        _source_word(found.get("utm_source", "")),
        _word(found.get("utm_medium", "")),
        found.get("utm_campaign") or found.get("utm_id", ""),
        next((name for name in _CLICK_ID_NAMES if found.get(name)), ""),
    )


def _word(text: str) -> str:
    """`Paid-Social` → `paid_social`."""
    return _WORD_BREAKS.sub("_", text[:MAX_TAG_CHARACTERS].strip().lower())


def _source_word(text: str) -> str:
    """The name of a known source, however it is written: `www.Baidu.com`, `FB`."""
    word = _word(text)
    if "." in word:
        known = _known_host(word.removeprefix("www."))
        return known[1] if known else word
    return SOURCE_ALIASES.get(word, word)


def _text(properties: dict[str, Any], *names: str) -> str:
    for name in names:
        value = properties.get(name)
        if isinstance(value, str) and value.strip():
            return value
    return ""


# Referrers


def classify_referrer(referrer: str, page_url: str) -> Arrival:
    """Rules 3 and 4."""
    return _by_hosts(host_of(referrer), host_of(page_url))


def host_of(url: str) -> str:
    """Lower-case host without port and credentials; empty if there is none. Cheap, and never raises."""
    _, separator, rest = url.partition("://")
    if not separator:
        return ""
    authority = rest.partition("/")[0].partition("?")[0].partition("#")[0]
    return authority.rpartition("@")[2].partition(":")[0].rstrip(".").lower()


@lru_cache(maxsize=16_384)
def _by_hosts(referrer_host: str, page_host: str) -> Arrival:
    if not referrer_host or _is_step_of_a_visit(referrer_host) or _is_same_site(referrer_host, page_host):
        return DIRECT
    channel, source = _known_host(referrer_host) or (Channel.REFERRAL, referrer_host.removeprefix("www."))
    return Arrival(channel, source[:MAX_TAG_CHARACTERS], MEDIUM_OF[channel], "", False)


def _is_step_of_a_visit(host: str) -> bool:
    return any(suffix in STEPS_OF_A_VISIT for suffix in _suffixes(host))


def _known_host(host: str) -> tuple[Channel, str] | None:
    for suffix in _suffixes(host):
        if suffix in HOSTS:
            return HOSTS[suffix]
    labels = host.split(".")
    return COUNTRY_HOSTS.get(labels[-_site_labels(labels)])


def _suffixes(host: str) -> list[str]:
    """`a.b.c` → `a.b.c`, `b.c`, `c`."""
    labels = host.split(".")
    return [".".join(labels[i:]) for i in range(len(labels))]


def _is_same_site(one: str, other: str) -> bool:
    return bool(other) and _site(one) == _site(other)


def _site(host: str) -> str:
    """The part of a host its owner registered. A rule of thumb, not the Public Suffix List, which changes weekly."""
    labels = host.split(".")
    if labels[-1].isdigit():  # an IPv4 address
        return host
    return ".".join(labels[-_site_labels(labels) :])


def _site_labels(labels: list[str]) -> int:
    is_below_country = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in TWO_LABEL_SUFFIXES
    is_shared = len(labels) > 2 and ".".join(labels[-2:]) in SHARED_SUFFIXES
    return 3 if is_below_country or is_shared else min(2, len(labels))
