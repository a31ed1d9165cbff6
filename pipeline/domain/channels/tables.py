"""The data behind the channel rules: click ids, media, sources. Hosts and apps stand in `host_tables`.

Kinds and grouping follow what marketers know from GA4's default channel group, the Snowplow referer-parser and Matomo;
the lists are our own, with the Chinese platforms those leave out.
"""

from enum import StrEnum
from typing import Final


class Channel(StrEnum):
    PAID_SEARCH = "paid_search"
    PAID_SOCIAL = "paid_social"
    FEED = "feed"
    """In-feed advertising (信息流)."""
    DISPLAY = "display"
    PAID_VIDEO = "paid_video"
    PAID_OTHER = "paid_other"
    """An ad that does not say where it ran."""
    AFFILIATE = "affiliate"
    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"
    ORGANIC_SEARCH = "organic_search"
    ORGANIC_SOCIAL = "organic_social"
    AI_ASSISTANT = "ai_assistant"
    REFERRAL = "referral"
    DIRECT = "direct"
    OTHER_CAMPAIGN = "other_campaign"
    """Tagged by the marketer, in words no rule knows."""


UNPAID: Final = frozenset(
    {
        Channel.ORGANIC_SEARCH,
        Channel.ORGANIC_SOCIAL,
        Channel.AI_ASSISTANT,
        Channel.REFERRAL,
        Channel.DIRECT,
    }
)
"""A tag that names one of these is no campaign: assistants tag the links they show (`utm_source=chatgpt.com`)."""

CLICK_IDS: Final[dict[str, tuple[Channel, str]]] = {
    "gclid": (Channel.PAID_SEARCH, "google"),
    "gbraid": (Channel.PAID_SEARCH, "google"),
    "wbraid": (Channel.PAID_SEARCH, "google"),
    "dclid": (Channel.DISPLAY, "google"),
    "msclkid": (Channel.PAID_SEARCH, "bing"),
    "bd_vid": (Channel.PAID_SEARCH, "baidu"),
    "qhclickid": (Channel.PAID_SEARCH, "so"),
    "yclid": (Channel.PAID_SEARCH, "yandex"),
    "qz_gdt": (Channel.FEED, "tencent"),
    "gdt_vid": (Channel.FEED, "tencent"),
    "ksclickid": (Channel.FEED, "kuaishou"),
    "uctrackid": (Channel.FEED, "uc"),
    "ttclid": (Channel.PAID_SOCIAL, "tiktok"),
    "twclid": (Channel.PAID_SOCIAL, "x"),
    "li_fat_id": (Channel.PAID_SOCIAL, "linkedin"),
    "rdt_cid": (Channel.PAID_SOCIAL, "reddit"),
    "sccid": (Channel.PAID_SOCIAL, "snapchat"),
    "epik": (Channel.PAID_SOCIAL, "pinterest"),
    "gad_source": (Channel.PAID_SEARCH, "google"),
}
"""Query parameter (lower case) an ad platform adds to a click, in the order they are looked for. It proves an ad."""

HINTED_CLICK_IDS: Final[dict[str, tuple[Channel, str]]] = {
    "clickid": (Channel.FEED, "oceanengine"),
    "callback": (Channel.FEED, "kuaishou"),
    "track_id": (Channel.FEED, "bilibili"),
    "click_id": (Channel.FEED, "xiaohongshu"),
}
"""Names that others use for other things: they prove an ad only where a tag or the referrer names the platform, or the
tags an advertising medium and no other source."""

ORGANIC_CLICK_IDS: Final[dict[str, tuple[Channel, str]]] = {
    "fbclid": (Channel.ORGANIC_SOCIAL, "facebook"),
    "igshid": (Channel.ORGANIC_SOCIAL, "instagram"),
    "igsh": (Channel.ORGANIC_SOCIAL, "instagram"),
    "srsltid": (Channel.ORGANIC_SEARCH, "google"),
}
"""Put on every outgoing link, shared posts too: they say where the browser came from, not that it was paid."""

PLATFORM_SOURCES: Final[dict[str, frozenset[str]]] = {
    "google": frozenset({"google", "youtube", "doubleclick", "dv360", "gdn"}),
    "bing": frozenset({"bing", "microsoft", "msn"}),
    "tencent": frozenset({"tencent", "wechat", "qq", "qzone"}),
    "oceanengine": frozenset({"oceanengine", "douyin", "toutiao", "xigua", "pangle", "dongchedi", "feishu"}),
    "tiktok": frozenset({"tiktok", "pangle"}),
}
"""Sources that a platform's click ids agree with, beside its own name."""

PAID_MEDIA: Final[dict[str, Channel]] = {
    **dict.fromkeys(("paid_search", "paidsearch", "sem", "search_ad", "search_ads", "searchad"), Channel.PAID_SEARCH),
    **dict.fromkeys(("paid_social", "paidsocial", "social_paid", "social_ad"), Channel.PAID_SOCIAL),
    **dict.fromkeys(
        ("feed", "feeds", "feed_ad", "infeed", "in_feed", "infoflow", "native", "xinxiliu", "信息流"), Channel.FEED
    ),
    **dict.fromkeys(
        ("display", "banner", "cpm", "expandable", "interstitial", "programmatic", "rtb", "splash"),
        Channel.DISPLAY,
    ),
    **dict.fromkeys(("video", "paid_video", "cpv", "preroll"), Channel.PAID_VIDEO),
}
"""Media that name a kind of advertising, as normalised: lower case, spaces and hyphens as underscores."""

GENERIC_PAID_MEDIA: Final = frozenset(
    {"cpc", "ppc", "paid", "cpa", "ocpc", "ocpm", "ad", "ads", "retargeting", "pay_per_click", "pmax", "sponsored"}
)
"""Paid, of a kind only the source can tell."""

OTHER_MEDIA: Final[dict[str, Channel]] = {
    **dict.fromkeys(("affiliate", "affiliates", "cps"), Channel.AFFILIATE),
    **dict.fromkeys(("email", "e_mail", "mail", "edm", "newsletter"), Channel.EMAIL),
    **dict.fromkeys(("sms", "mms"), Channel.SMS),
    **dict.fromkeys(("push", "app_push", "mobile_push", "web_push", "notification"), Channel.PUSH),
    "organic": Channel.ORGANIC_SEARCH,
    **dict.fromkeys(("social", "social_network", "social_media", "organic_social", "sm"), Channel.ORGANIC_SOCIAL),
    **dict.fromkeys(("referral", "rss"), Channel.REFERRAL),
    **dict.fromkeys(("ai", "ai_assistant", "llm", "chatbot"), Channel.AI_ASSISTANT),
}

GENERIC_PAID: Final = "paid"
"""Paid, of a kind only the source can tell."""

MEDIUM_PATTERNS: Final[tuple[tuple[str, Channel | str], ...]] = (
    (r"affiliat|联盟", Channel.AFFILIATE),
    (r"(^|_)(e_?mail|newsletter|edm)(_|$)|邮件", Channel.EMAIL),
    (r"(^|_)[sm]ms(_|$)|短信", Channel.SMS),
    (r"push(_|$)|notification|推送", Channel.PUSH),
    (r"信息流", Channel.FEED),
    (r"paid_?search|search_?(ads?|paid)|(^|_)sem(_|$)|paid_?shopping", Channel.PAID_SEARCH),
    (r"paid_?social|social_?(ads?|paid)", Channel.PAID_SOCIAL),
    (r"display|banner|interstitial|programmatic", Channel.DISPLAY),
    (r"video", Channel.PAID_VIDEO),
    (
        r"^o?cp[acilmv]|(^|_)o?cp[a-z][0-9]*(_|$)|ppc(_|$)|^paid|(^|_)(ads?|retarget(ing)?|remarketing)(_|$)|竞价|广告",
        GENERIC_PAID,
    ),
    (r"social", Channel.ORGANIC_SOCIAL),
)
"""Patterns of media that are in no table (`cpc_brand`, `paid_ads`, `web_push`, `display_retargeting`), in the order of
GA4's default channel group: the first that is found decides.
"""

MEDIUM_OF: Final[dict[Channel, str]] = {
    Channel.PAID_SEARCH: "cpc",
    Channel.PAID_SOCIAL: "paid_social",
    Channel.FEED: "feed",
    Channel.DISPLAY: "display",
    Channel.PAID_VIDEO: "video",
    Channel.ORGANIC_SEARCH: "organic",
    Channel.ORGANIC_SOCIAL: "social",
    Channel.AI_ASSISTANT: "ai",
    Channel.EMAIL: "email",
    Channel.REFERRAL: "referral",
    Channel.DIRECT: "none",
}
"""The medium of an arrival that names none itself."""

SOURCE_ALIASES: Final[dict[str, str]] = {
    "fb": "facebook",
    "meta": "facebook",
    "an": "facebook",
    "audience_network": "facebook",
    "msg": "facebook",
    "messenger": "facebook",
    "microsoft": "bing",
    "youtube_shorts": "youtube",
    "openai": "chatgpt",
    "ig": "instagram",
    "twitter": "x",
    "weixin": "wechat",
    "微信": "wechat",
    "微博": "weibo",
    "sina_weibo": "weibo",
    "百度": "baidu",
    "抖音": "douyin",
    "快手": "kuaishou",
    "小红书": "xiaohongshu",
    "xhs": "xiaohongshu",
    "知乎": "zhihu",
    "bytedance": "oceanengine",
    "巨量引擎": "oceanengine",
    "gdt": "tencent",
    "腾讯": "tencent",
    "360": "so",
    "adwords": "google",
    "googleads": "google",
}
"""Aliases of sources: names that marketers and platforms write for the name used here: `an` and `msg` are what Meta
fills in for its audience network and Messenger.
"""

SYNDICATION_SOURCES: Final = frozenset({"feedburner", "feedly", "inoreader", "rss"})
"""Readers of a site's own feed. They tag with `utm_medium=feed` too, long before in-feed advertising did."""

FEED_SOURCES: Final = frozenset({"oceanengine", "tencent"})
"""Advertising systems that sell in-feed places above all."""

PLACEHOLDERS: Final = frozenset(
    {
        "(direct)", "(none)", "(not set)", "(not_set)", "(not provided)", "(not_provided)", "(other)", "(unknown)",
        "(organic)", "undefined", "null", "none", "nil", "nan", "n/a", "na", "-", "--", "not set", "not_set",
        "notset", "unknown", "[object object]", "false", "true",
    }
)  # fmt: skip
"""Values that programs write where there is no value, in lower case. As a tag they say nothing."""

MACROS: Final = (
    r"\{\{.*\}\}",
    r"\{[^{}]*\}",
    r"[$#]\{.*\}",
    r"\$[a-z_.]+",
    r"\*\|.*\|\*",
    r"\$\$.*\$\$",
    r"%%.*%%",
    r"%[a-z_]+%",
    r"__[a-z0-9_]+__",
    r"\[[a-z0-9_ .-]+\]",
    r"<[^<>]*>",
)
"""Placeholders of ad platforms and templates that nobody filled in: `{{campaign.name}}`, `__CID__`, `{keyword}`."""
