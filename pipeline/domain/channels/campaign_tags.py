"""Campaign tags and click ids of a link, read and normalised. Pure."""

import re
from typing import Final

import msgspec

from pipeline.domain.channels.addresses import (
    MAX_ADDRESS_CHARACTERS,
    MAX_VALUE_CHARACTERS,
    parameters_of,
    site_labels,
    suffixes_of,
)
from pipeline.domain.channels.host_tables import AI_SOURCES, HOSTS, SEARCH_SOURCES, SOCIAL_SOURCES
from pipeline.domain.channels.tables import (
    CLICK_IDS,
    GENERIC_PAID,
    GENERIC_PAID_MEDIA,
    HINTED_CLICK_IDS,
    MACROS,
    MEDIUM_PATTERNS,
    ORGANIC_CLICK_IDS,
    OTHER_MEDIA,
    PAID_MEDIA,
    PLACEHOLDERS,
    SOURCE_ALIASES,
    Channel,
)
from schemas.caches import cache_short_texts

_CLICK_ID_NAMES: Final = (*CLICK_IDS, *HINTED_CLICK_IDS, *ORGANIC_CLICK_IDS)
_TAG: Final = re.compile(
    rf"[?&#;](?=\w{{3,16}}=)(?:utm_(?:source|medium|campaign|id)|{'|'.join(_CLICK_ID_NAMES)})=[^&#]", re.IGNORECASE
)
_WORD_BREAKS: Final = re.compile(r"[\s\-]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")
_MACRO: Final = re.compile(rf"(?:{'|'.join(MACROS)})\Z", re.IGNORECASE | re.DOTALL)
_MEDIA: Final = tuple((re.compile(pattern), kind) for pattern, kind in MEDIUM_PATTERNS)
_NO_LINK: Final = "direct"
_KNOWN_SOURCES: Final = SEARCH_SOURCES | SOCIAL_SOURCES | AI_SOURCES


class Tags(msgspec.Struct, frozen=True):
    """Campaign tags of a link. Source and medium are normalised, the campaign is the marketer's own word.

    Of click ids the name of the parameter: one that proves an ad, one that needs a second hint, one that only says
    where the browser came from.
    """

    source: str = ""
    medium: str = ""
    campaign: str = ""
    click_id: str = ""
    hinted_click_id: str = ""
    organic_click_id: str = ""

    @property
    def are_own(self) -> bool:
        """True if the link carries a campaign tag."""
        return bool(self.source or self.medium or self.campaign)


NO_TAGS: Final = Tags()


def is_tag_name(name: str) -> bool:
    """Tell whether channels are found by a parameter of this name."""
    word = name.lower()
    return word.startswith("utm_") or word in _CLICK_ID_NAMES


def has_tags(page_url: str) -> bool:
    """Tell whether an address could carry tags; a plain product page (`?id=42`) costs one search."""
    return "=" in page_url and _TAG.search(page_url, 0, MAX_ADDRESS_CHARACTERS) is not None


def tags_of(source: str, medium: str, campaign: str, page_url: str) -> Tags:
    """The event's own campaign fields, each else what the page's address says."""
    on_page = read_tags(page_url) if has_tags(page_url) else NO_TAGS
    if not (source or medium or campaign):
        return on_page
    return msgspec.structs.replace(
        on_page,
        source=normalize_source(source) or on_page.source,
        medium=normalize_medium(medium) or on_page.medium,
        campaign=normalize_campaign(campaign) or on_page.campaign,
    )


@cache_short_texts(4_096, 1_024)
def read_tags(page_url: str) -> Tags:
    """The tags in an address; of a repeated parameter the first that says something. Every event of a landing page
    brings the same address."""
    found: dict[str, str] = {}
    for name, value in parameters_of(page_url):
        if not is_placeholder(value):
            found.setdefault(name, value)
    return Tags(
        normalize_source(found.get("utm_source", "")),
        normalize_medium(found.get("utm_medium", "")),
        normalize_campaign(found.get("utm_campaign", "") or found.get("utm_id", "")),
        _first_name(CLICK_IDS, found),
        _first_name(HINTED_CLICK_IDS, found),
        _first_name(ORGANIC_CLICK_IDS, found),
    )


def _first_name(names: dict[str, tuple[Channel, str]], found: dict[str, str]) -> str:
    return next((name for name in names if found.get(name)), "")


# Words


def is_placeholder(text: str) -> bool:
    """Tell whether a value stands for none: it is empty, `(not set)`, `undefined`, a macro that nobody filled in."""
    word = text[:MAX_VALUE_CHARACTERS].strip().lower()
    return not word or word in PLACEHOLDERS or _MACRO.match(word) is not None


def normalize_campaign(text: str) -> str:
    """The marketer's own word, cut and without control characters; empty for a placeholder."""
    word = _CONTROL.sub("", text[:MAX_VALUE_CHARACTERS]).strip()
    return "" if is_placeholder(word) else word


def normalize_channel(text: str) -> str:
    """`Paid-Social` → `paid_social`; empty for a placeholder."""
    return _WORD_BREAKS.sub("_", normalize_campaign(text).lower())


def normalize_medium(text: str) -> str:
    """Write a medium as a channel is written. `direct` says, as `(direct)` does, that there was no link: no medium."""
    word = normalize_channel(text)
    return "" if word == _NO_LINK else word


def normalize_source(text: str) -> str:
    """The name of a known source, however it is written: `www.Baidu.com`, `FB`, `facebook_ads`; else the word."""
    word = normalize_medium(text)
    if "." in word:
        host = word.removeprefix("www.")
        known = next((HOSTS[suffix] for suffix in suffixes_of(host) if suffix in HOSTS), None)
        labels = host.split(".")
        name = known[1] if known else labels[-site_labels(labels)]
        return name if known or name in SEARCH_SOURCES else word
    word = SOURCE_ALIASES.get(word, word)
    bare = word.removesuffix("s").removesuffix("ad").removesuffix("_")
    bare = SOURCE_ALIASES.get(bare, bare)
    return bare if bare != word and word.endswith(("ad", "ads")) and bare in _KNOWN_SOURCES else word


@cache_short_texts(1_024, MAX_VALUE_CHARACTERS)
def kind_of_medium(medium: str) -> Channel | str | None:
    """The channel a normalised medium names, `GENERIC_PAID` where only the source can tell, None for an unknown one."""
    if not medium:
        return None
    if medium in PAID_MEDIA:
        return PAID_MEDIA[medium]
    if medium in GENERIC_PAID_MEDIA:
        return GENERIC_PAID
    if medium in OTHER_MEDIA:
        return OTHER_MEDIA[medium]
    return next((kind for pattern, kind in _MEDIA if pattern.search(medium)), None)
