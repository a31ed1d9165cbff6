"""Channel rules: ordered, the first that matches wins. Channel and source come from the same rule.

1. The app's own rules, in their order (`schemas.control.ChannelSettings`).
2. A click id that proves an ad (`gclid`; `clickid` and other generic names only with a second hint). It gives platform
   and channel; the tags beside it say which kind of advertising, where they do not name another platform.
3. The link's own tags, from the event's campaign fields, else `utm_*` in the address. The medium decides; where it is
   generic, unknown or absent, the source. Tags make a click, unless they name an unpaid channel. Placeholders are no
   tags.
4. An organic click id (`fbclid`): on every link out of a network, so it says where the browser came from.
5. The referrer (`referrers`).
6. Else direct.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec

from pipeline.domain.channels.addresses import host_of, is_same_site, suffixes_of
from pipeline.domain.channels.campaign_tags import (
    Tags,
    has_tags,
    is_placeholder,
    kind_of_medium,
    normalize_channel,
    tags_of,
)
from pipeline.domain.channels.host_tables import AI_SOURCES, SEARCH_SOURCES, SOCIAL_SOURCES
from pipeline.domain.channels.referrers import origin_of
from pipeline.domain.channels.tables import (
    CLICK_IDS,
    FEED_SOURCES,
    GENERIC_PAID,
    HINTED_CLICK_IDS,
    MEDIUM_OF,
    ORGANIC_CLICK_IDS,
    OTHER_MEDIA,
    PLATFORM_SOURCES,
    SYNDICATION_SOURCES,
    UNPAID,
    Channel,
)
from schemas.caches import cache_short_texts
from schemas.control import ChannelSettings

__all__ = ["DIRECT", "Arrival", "ChannelRules", "classify_ad", "classify_arrival", "compile_channels", "has_tags"]

_ADVERTISING: Final = frozenset(
    {Channel.PAID_SEARCH, Channel.PAID_SOCIAL, Channel.FEED, Channel.DISPLAY, Channel.PAID_VIDEO}
)
_BROWSER_NAMES_SOURCE: Final = frozenset({None, GENERIC_PAID, Channel.PAID_SOCIAL, Channel.ORGANIC_SOCIAL})
"""Kinds of medium beside which an organic click id may stand in for a source that is not tagged."""
_ASSISTANTS_TAG_AS: Final = frozenset(
    {None, Channel.REFERRAL, Channel.ORGANIC_SEARCH, Channel.ORGANIC_SOCIAL, Channel.AI_ASSISTANT}
)


class Arrival(msgspec.Struct, frozen=True):
    """Arrival of a person. `is_click`: through an ad or a tagged campaign, so the click models may credit it."""

    channel: str
    source: str
    medium: str
    campaign: str
    is_click: bool
    rule: str = ""
    """The rule that decided, for people: `click_id:gclid`, `tags:medium`, `referrer:search_engine`, `app:<name>`."""


class CompiledRule(msgspec.Struct, frozen=True):
    """`patterns`: (name of a fact, the text between the `*` of a pattern); all must match."""

    name: str
    channel: str
    source: str
    patterns: tuple[tuple[str, tuple[str, ...]], ...]


class ChannelRules(msgspec.Struct, frozen=True):
    """An app's own part of the rules. Hosts stand for their subdomains too."""

    own_domains: frozenset[str] = frozenset()
    ignored_referrers: frozenset[str] = frozenset()
    rules: tuple[CompiledRule, ...] = ()


CampaignFields: TypeAlias = tuple[str, str, str]
"""Source, medium and name of the campaign an event names itself."""
NO_RULES: Final = ChannelRules()
DIRECT: Final = Arrival(Channel.DIRECT, "direct", MEDIUM_OF[Channel.DIRECT], "", False, "direct")


def compile_channels(settings: ChannelSettings) -> ChannelRules:
    rules = []
    for rule in settings.rules:
        facts = ("source", "medium", "campaign", "referrer", "landing_page")
        given = [(fact, getattr(rule, fact).lower()) for fact in facts if getattr(rule, fact)]
        patterns = tuple((fact, tuple(pattern.split("*"))) for fact, pattern in given)
        rules.append(CompiledRule(rule.name, rule.channel, rule.new_source, patterns))
    return ChannelRules(
        frozenset(domain.lower() for domain in settings.own_domains),
        frozenset(host.lower() for host in settings.ignored_referrers),
        tuple(rules),
    )


def classify_arrival(page_url: str, referrer: str, campaign: CampaignFields, rules: ChannelRules = NO_RULES) -> Arrival:
    """`campaign`: the event's own, which go before the page's tags."""
    is_tagged = any(campaign) or has_tags(page_url)
    if not (is_tagged or referrer or rules.rules):
        return DIRECT
    tags = tags_of(*campaign, page_url) if is_tagged else _NO_TAGS
    origin = _origin_of(referrer, page_url, rules) if referrer else None
    own = _by_app_rules(rules, tags, referrer, page_url) if rules.rules else None
    if own is not None:
        return own
    found = _by_link(tags, origin[1] if origin else "") if is_tagged else None
    if found is not None:
        return found
    if origin is None:
        return DIRECT
    channel, name, rule = origin
    return Arrival(channel, name, MEDIUM_OF[channel], "", False, rule)


_NO_TAGS: Final = Tags()


def classify_ad(
    properties: dict[str, Any], page_url: str, campaign: CampaignFields, rules: ChannelRules = NO_RULES
) -> Arrival:
    """The channel of an `ad_*` event: its properties first, then the campaign fields and the page's tags.

    It *is* an ad, so it is never direct, organic or a referral: what cannot be told is `paid_other`.
    """
    named = [value if isinstance(value := properties.get(name), str) else "" for name in _AD_PROPERTIES]
    if rules.rules:
        own = _by_app_rules(rules, _ad_tags(page_url, *campaign, *named), "", page_url)
        if own is not None and own.channel not in UNPAID:
            return own
    return _classify_ad(page_url if has_tags(page_url) else "", *campaign, *named)


_AD_PROPERTIES: Final = (
    "channel",
    "source",
    "utm_source",
    "platform",
    "medium",
    "utm_medium",
    "campaign",
    "utm_campaign",
    "campaign_name",
)


def _ad_tags(page_url: str, source: str, medium: str, campaign: str, _channel: str, *named: str) -> Tags:
    """`named`: the properties of `_AD_PROPERTIES` after the channel."""
    return tags_of(
        _first_of(named[0:3]) or source,
        _first_of(named[3:5]) or medium,
        _first_of(named[5:8]) or campaign,
        page_url,
    )


def _first_of(texts: Sequence[str]) -> str:
    """The first that says something."""
    return next((text for text in texts if text and not is_placeholder(text)), "")


@cache_short_texts(4_096, 1_024)
def _classify_ad(page_url: str, source: str, medium: str, campaign: str, channel: str, *named: str) -> Arrival:
    """Classify by our own rules. All clicks of a campaign say the same."""
    tags = _ad_tags(page_url, source, medium, campaign, channel, *named)
    named_channel = normalize_channel(channel)
    if named_channel and named_channel not in UNPAID:
        return Arrival(named_channel, tags.source, tags.medium, tags.campaign, True, "ad:channel")
    found = _by_link(tags, "")
    if found is not None and found.is_click and found.channel != Channel.OTHER_CAMPAIGN:
        return found
    channel = _paid_by_source(tags.source)
    return Arrival(channel, tags.source, tags.medium or MEDIUM_OF.get(channel, ""), tags.campaign, True, "ad:source")


# The link: rules 2 to 4


def _by_link(tags: Tags, origin_source: str) -> Arrival | None:
    """`origin_source`: of the referrer, a second hint for a click id with a generic name."""
    if tags.click_id:
        return _by_click_id(tags, tags.click_id, *CLICK_IDS[tags.click_id])
    if tags.hinted_click_id and _is_hinted(tags, origin_source):
        return _by_click_id(tags, tags.hinted_click_id, *HINTED_CLICK_IDS[tags.hinted_click_id])
    if not tags.organic_click_id:
        return _by_tags(tags)
    channel, source = ORGANIC_CLICK_IDS[tags.organic_click_id]
    if not tags.are_own:
        return Arrival(channel, source, MEDIUM_OF[channel], "", False, f"click_id:{tags.organic_click_id}")
    if not tags.source and kind_of_medium(tags.medium) in _BROWSER_NAMES_SOURCE:
        tags = msgspec.structs.replace(tags, source=source)
    return _by_tags(tags)


def _is_hinted(tags: Tags, origin_source: str) -> bool:
    _, platform = HINTED_CLICK_IDS[tags.hinted_click_id]
    if tags.source:
        return _is_of(platform, tags.source)
    kind = kind_of_medium(tags.medium)
    return kind == GENERIC_PAID or kind in _ADVERTISING or _is_of(platform, origin_source)


def _is_of(platform: str, source: str) -> bool:
    return source == platform or source in PLATFORM_SOURCES.get(platform, ())


def _by_click_id(tags: Tags, name: str, channel: Channel, source: str) -> Arrival:
    """Tags of another platform contradict the click id: of them only the campaign stays."""
    medium = ""
    if not tags.source or _is_of(source, tags.source):
        kind = kind_of_medium(tags.medium)
        medium = tags.medium if kind == GENERIC_PAID or kind in _ADVERTISING else ""
        channel = Channel(kind) if kind in _ADVERTISING else channel
    return Arrival(channel, source, medium or MEDIUM_OF[channel], tags.campaign, True, f"click_id:{name}")


def _by_tags(tags: Tags) -> Arrival | None:
    if not tags.are_own:
        return None
    channel, rule = _tagged_channel(tags)
    medium = tags.medium or MEDIUM_OF.get(channel, "")
    return Arrival(channel, tags.source, medium, tags.campaign, channel not in UNPAID, rule)


def _tagged_channel(tags: Tags) -> tuple[Channel, str]:
    source, kind = tags.source, kind_of_medium(tags.medium)
    if source in SYNDICATION_SOURCES:
        return Channel.REFERRAL, "tags:source"
    if kind == GENERIC_PAID:
        return _paid_by_source(source), "tags:medium_and_source"
    if source in AI_SOURCES and kind in _ASSISTANTS_TAG_AS:
        return Channel.AI_ASSISTANT, "tags:source"
    if kind is Channel.ORGANIC_SEARCH and source in SOCIAL_SOURCES:
        return Channel.ORGANIC_SOCIAL, "tags:medium_and_source"
    if kind is not None:
        return Channel(kind), "tags:medium"
    if source:
        return _unpaid_by_source(source), "tags:source"
    return Channel.OTHER_CAMPAIGN, "tags:campaign"


def _paid_by_source(source: str) -> Channel:
    if source in SEARCH_SOURCES:
        return Channel.PAID_SEARCH
    if source in FEED_SOURCES:
        return Channel.FEED
    return Channel.PAID_SOCIAL if source in SOCIAL_SOURCES else Channel.PAID_OTHER


def _unpaid_by_source(source: str) -> Channel:
    """A source without a medium that says anything: a link somebody shared, unless the source sells ads alone."""
    if source in OTHER_MEDIA:
        return OTHER_MEDIA[source]
    if source in FEED_SOURCES:
        return Channel.FEED
    if source in SOCIAL_SOURCES:
        return Channel.ORGANIC_SOCIAL
    return Channel.ORGANIC_SEARCH if source in SEARCH_SOURCES else Channel.OTHER_CAMPAIGN


# The app's own rules


def _origin_of(referrer: str, page_url: str, rules: ChannelRules) -> tuple[Channel, str, str] | None:
    if rules.own_domains or rules.ignored_referrers:
        host = host_of(referrer)
        if any(suffix in rules.ignored_referrers for suffix in suffixes_of(host)):
            return None
        own = any(suffix in rules.own_domains for suffix in suffixes_of(host))
        if own or any(is_same_site(host, domain) for domain in rules.own_domains):
            return None
    return origin_of(referrer, page_url)


def _by_app_rules(rules: ChannelRules, tags: Tags, referrer: str, page_url: str) -> Arrival | None:
    facts = {
        "source": tags.source,
        "medium": tags.medium,
        "campaign": tags.campaign.lower(),
        "referrer": host_of(referrer),
        "landing_page": page_url.lower()[:_MAX_MATCHED_CHARACTERS],
    }
    for rule in rules.rules:
        if all(_matches(parts, facts[fact]) for fact, parts in rule.patterns):
            source = rule.source or tags.source or facts["referrer"]
            medium = tags.medium or MEDIUM_OF.get(Channel(rule.channel), "") if rule.channel in _OURS else tags.medium
            is_click = rule.channel not in UNPAID
            return Arrival(rule.channel, source, medium, tags.campaign, is_click, f"app:{rule.name}")
    return None


_MAX_MATCHED_CHARACTERS: Final = 2_048
_OURS: Final = frozenset(Channel)


def _matches(parts: tuple[str, ...], text: str) -> bool:
    """Tell whether a text matches a pattern split at its `*`. Linear, whatever the pattern."""
    if len(parts) == 1:
        return text == parts[0]
    first, *middle, last = parts
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
