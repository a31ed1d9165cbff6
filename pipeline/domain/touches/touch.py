"""Touches: from an event to a touch, from a session's touches to those that count.

**What makes a touch.** `ad_click`, `ad_impression`, `ad_view`; any page with a click id or campaign tags, a click; and
the session's entry where it is none of these: a `visit`. A tagged page counts in the middle of a session too, not only
as its first: who came by a search result and twenty minutes later clicks an ad was brought back by that ad, which would
otherwise get nothing. An untagged referrer in mid-session is no touch: going away and coming back is one session.

**Entry.** The first event that says where the person came from (a page, a referrer, a campaign, an ad click) decides
the session's channel; without one the first view of a page or screen that says nothing more, as direct. An impression
or a view of an ad happens on somebody else's page: it belongs to the session it falls into but is no arrival, so a
session of nothing else has its ad's channel and no `visit`.

**No arrival.** An event without page, screen, referrer and campaign (a purchase, refund or renewal posted by a backend)
tells nothing about an arrival. A session of such events only has no touch and no channel.

**Once per session.** In one session the first of each (type, channel, campaign) is a touch row: later ones change
nothing before them, so a conversion never sees its past change. A path goes further: of one channel and campaign in one
session it takes one touch, a click before a view before an impression, for the impression that led to a click is not a
second contact. Rows keep both, or there would be no click rate.
"""

from typing import Final

from pipeline.domain.channels.classify import (
    DIRECT,
    Arrival,
    CampaignFields,
    ChannelRules,
    classify_ad,
    classify_arrival,
    has_tags,
)
from pipeline.domain.channels.tables import Channel
from pipeline.domain.properties import read_properties
from pipeline.domain.state import Touch
from schemas.events import StreamEvent
from schemas.facts import TouchType

CLICK: Final = TouchType.CLICK.value
IMPRESSION: Final = TouchType.IMPRESSION.value
VIEW: Final = TouchType.VIEW.value
VISIT: Final = TouchType.VISIT.value

PAGE_EVENTS: Final = frozenset({"page_view", "screen_view"})
_UTM: Final = b'"utm_'
AD_EVENTS: Final[dict[str, str]] = {"ad_click": CLICK, "ad_impression": IMPRESSION, "ad_view": VIEW}

ARRIVAL_RANK: Final = 0
BARE_RANK: Final = 1
"""A view of a page or screen that says nothing more. States of before `NO_ARRIVAL_RANK` have other events at it too."""
EXPOSURE_RANK: Final = 2
NO_ARRIVAL_RANK: Final = 3
_NO_ARRIVAL: Final = Arrival(channel="", source="", medium="", campaign="", is_click=False)
_SCREEN_PROPERTIES: Final = ("screen", "screen_name")
STRENGTH: Final[dict[str, int]] = {CLICK: 0, VIEW: 1, IMPRESSION: 2, VISIT: 3}


def is_marketing(event: StreamEvent) -> bool:
    """Tell whether `marketing_touch` could find one. Runs on every event, so it looks at names and characters only."""
    return (
        event.event_name in AD_EVENTS
        or event.campaign_source != ""
        or event.campaign_medium != ""
        or event.campaign_name != ""
        or has_tags(event.page_url)
        or _has_tagged_properties(event)
    )


def marketing_touch(event: StreamEvent, rules: ChannelRules) -> Touch | None:
    """The ad contact or campaign click this event is, wherever in a session it stands."""
    if event.event_name not in AD_EVENTS and not is_marketing(event):
        return None
    arrival = arrival_of(event, rules)
    touch_type = AD_EVENTS.get(event.event_name, CLICK)
    return _touch(event, touch_type, arrival) if event.event_name in AD_EVENTS or arrival.is_click else None


def arrival_of(event: StreamEvent, rules: ChannelRules) -> Arrival:
    """Return how the person came, as far as this event shows."""
    if event.event_name in AD_EVENTS:
        fields = (event.campaign_source, event.campaign_medium, event.campaign_name)
        return classify_ad(read_properties(event.properties), event.page_url, fields, rules)
    return classify_arrival(event.page_url, event.referrer, campaign_of(event), rules)


def campaign_of(event: StreamEvent) -> CampaignFields:
    """Source, medium and name: the event's campaign fields; of a page also `utm_…` among its properties, where most web
    SDKs put them."""
    source, medium, name = event.campaign_source, event.campaign_medium, event.campaign_name
    if _has_tagged_properties(event):
        properties = read_properties(event.properties)
        source = source or _text(properties.get("utm_source"))
        medium = medium or _text(properties.get("utm_medium"))
        name = name or _text(properties.get("utm_campaign"))
    return source, medium, name


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def rank_of(event: StreamEvent) -> int:
    """Rank how well the event shows where the session came from, 0 the best."""
    if event.event_name in AD_EVENTS:
        return ARRIVAL_RANK if AD_EVENTS[event.event_name] == CLICK else EXPOSURE_RANK
    if tells_arrival(event):
        return ARRIVAL_RANK
    return BARE_RANK if is_view(event) else NO_ARRIVAL_RANK


def entry_of(event: StreamEvent, marketing: Touch | None, rules: ChannelRules) -> tuple[int, Touch]:
    """(rank, touch) of the event as a session's entry; the smallest (rank, time, id) of a session is its entry."""
    rank = rank_of(event)
    if marketing is not None:
        return rank, marketing
    if rank in (BARE_RANK, NO_ARRIVAL_RANK):
        return rank, _touch(event, VISIT, DIRECT if rank == BARE_RANK else _NO_ARRIVAL)
    return rank, _touch(event, VISIT, arrival_of(event, rules))


def tells_arrival(event: StreamEvent) -> bool:
    """Tell whether the event shows where the person came from, or at least that they came."""
    return bool(
        event.page_url
        or event.referrer
        or event.campaign_source
        or event.campaign_medium
        or event.campaign_name
        or _has_tagged_properties(event)
    )


def _has_tagged_properties(event: StreamEvent) -> bool:
    return event.event_name in PAGE_EVENTS and _UTM in bytes(event.properties)


def is_view(event: StreamEvent) -> bool:
    """Tell whether a page or screen was seen: by the event's name, or by a property that names the screen."""
    if event.event_name in PAGE_EVENTS:
        return True
    if b'"screen' not in bytes(event.properties):
        return False
    properties = read_properties(event.properties)
    return any(properties.get(name) for name in _SCREEN_PROPERTIES)


def own_page(event: StreamEvent) -> str:
    """The page of the session, if it is one: an impression's page is the publisher's."""
    return "" if AD_EVENTS.get(event.event_name, CLICK) != CLICK else event.page_url


def place(touch: Touch) -> tuple[int, str]:
    """Touches are ordered by time, equal times by event id."""
    return touch.at_ms, touch.touch_id


def contact(touch: Touch) -> tuple[str, str, str]:
    """Two touches that agree here are one, within a session."""
    return touch.touch_type, touch.channel, touch.campaign


def first_of_each(touches: list[Touch]) -> list[Touch]:
    """The first touch of each contact, by place."""
    if len(touches) < 2:
        return touches
    found: dict[tuple[str, str, str], Touch] = {}
    for touch in sorted(touches, key=place):
        found.setdefault(contact(touch), touch)
    return list(found.values())


def is_direct(touch: Touch) -> bool:
    return touch.channel == Channel.DIRECT


def _touch(event: StreamEvent, touch_type: str, arrival: Arrival) -> Touch:
    return Touch(
        event.timestamp_ms,
        event.event_id,
        touch_type,
        str(arrival.channel),
        arrival.source,
        arrival.medium,
        arrival.campaign,
        is_bot=event.is_bot,
    )
