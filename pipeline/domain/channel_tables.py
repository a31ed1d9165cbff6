"""The data behind the channel rules: click ids, media, and the hosts that people come from.

Kinds and grouping follow what marketers know from GA4's default channel group, the Snowplow referer-parser and Matomo;
the lists are our own, with the Chinese platforms those leave out. A host stands for its subdomains too, unless a longer
entry says otherwise.
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
    "clickid": (Channel.FEED, "oceanengine"),
    "qz_gdt": (Channel.FEED, "tencent"),
    "gdt_vid": (Channel.FEED, "tencent"),
    "ksclickid": (Channel.FEED, "kuaishou"),
    "ttclid": (Channel.PAID_SOCIAL, "tiktok"),
    "twclid": (Channel.PAID_SOCIAL, "x"),
    "li_fat_id": (Channel.PAID_SOCIAL, "linkedin"),
    "rdt_cid": (Channel.PAID_SOCIAL, "reddit"),
    "sccid": (Channel.PAID_SOCIAL, "snapchat"),
    "epik": (Channel.PAID_SOCIAL, "pinterest"),
}
"""Query parameter (lower case) an ad platform adds to a click, in the order they are looked for."""

SHARED_CLICK_ID: Final = "fbclid"
"""Facebook adds it to *every* outgoing link, shared posts too: it proves where from, not that it was paid."""

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

GENERIC_PAID_MEDIA: Final = frozenset({"cpc", "ppc", "paid", "cpa", "ocpc", "ocpm", "ad", "ads", "retargeting"})
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

_SEARCH: Final = Channel.ORGANIC_SEARCH
_SOCIAL: Final = Channel.ORGANIC_SOCIAL
_AI: Final = Channel.AI_ASSISTANT
_EMAIL: Final = Channel.EMAIL
_SITE: Final = Channel.REFERRAL

HOSTS: Final[dict[str, tuple[Channel, str]]] = {
    # Search engines
    "baidu.com": (_SEARCH, "baidu"),
    "sogou.com": (_SEARCH, "sogou"),
    "so.com": (_SEARCH, "so"),
    "haosou.com": (_SEARCH, "so"),
    "sm.cn": (_SEARCH, "shenma"),
    "quark.cn": (_SEARCH, "quark"),
    "so.toutiao.com": (_SEARCH, "toutiao"),
    "youdao.com": (_SEARCH, "youdao"),
    "chinaso.com": (_SEARCH, "chinaso"),
    "petalsearch.com": (_SEARCH, "petal"),
    "bing.com": (_SEARCH, "bing"),
    "duckduckgo.com": (_SEARCH, "duckduckgo"),
    "naver.com": (_SEARCH, "naver"),
    "daum.net": (_SEARCH, "daum"),
    "seznam.cz": (_SEARCH, "seznam"),
    "ecosia.org": (_SEARCH, "ecosia"),
    "startpage.com": (_SEARCH, "startpage"),
    "qwant.com": (_SEARCH, "qwant"),
    "search.brave.com": (_SEARCH, "brave"),
    "kagi.com": (_SEARCH, "kagi"),
    "ask.com": (_SEARCH, "ask"),
    "aol.com": (_SEARCH, "aol"),
    "com.google.android.googlequicksearchbox": (_SEARCH, "google"),
    # Other services of the same houses
    "baike.baidu.com": (_SITE, "baike.baidu.com"),
    "zhidao.baidu.com": (_SITE, "zhidao.baidu.com"),
    "jingyan.baidu.com": (_SITE, "jingyan.baidu.com"),
    "pan.baidu.com": (_SITE, "pan.baidu.com"),
    "docs.google.com": (_SITE, "docs.google.com"),
    "drive.google.com": (_SITE, "drive.google.com"),
    "sites.google.com": (_SITE, "sites.google.com"),
    "classroom.google.com": (_SITE, "classroom.google.com"),
    "blog.naver.com": (_SOCIAL, "naver"),
    "tieba.baidu.com": (_SOCIAL, "tieba"),
    "plus.google.com": (_SOCIAL, "google_plus"),
    # Social sites
    "weibo.com": (_SOCIAL, "weibo"),
    "weibo.cn": (_SOCIAL, "weibo"),
    "t.cn": (_SOCIAL, "weibo"),
    "weixin.qq.com": (_SOCIAL, "wechat"),
    "servicewechat.com": (_SOCIAL, "wechat"),
    "com.tencent.mm": (_SOCIAL, "wechat"),
    "qzone.qq.com": (_SOCIAL, "qzone"),
    "zhihu.com": (_SOCIAL, "zhihu"),
    "xiaohongshu.com": (_SOCIAL, "xiaohongshu"),
    "xhslink.com": (_SOCIAL, "xiaohongshu"),
    "douyin.com": (_SOCIAL, "douyin"),
    "iesdouyin.com": (_SOCIAL, "douyin"),
    "kuaishou.com": (_SOCIAL, "kuaishou"),
    "bilibili.com": (_SOCIAL, "bilibili"),
    "b23.tv": (_SOCIAL, "bilibili"),
    "douban.com": (_SOCIAL, "douban"),
    "toutiao.com": (_SOCIAL, "toutiao"),
    "hupu.com": (_SOCIAL, "hupu"),
    "v2ex.com": (_SOCIAL, "v2ex"),
    "facebook.com": (_SOCIAL, "facebook"),
    "fb.me": (_SOCIAL, "facebook"),
    "messenger.com": (_SOCIAL, "facebook"),
    "instagram.com": (_SOCIAL, "instagram"),
    "threads.net": (_SOCIAL, "threads"),
    "threads.com": (_SOCIAL, "threads"),
    "x.com": (_SOCIAL, "x"),
    "twitter.com": (_SOCIAL, "x"),
    "t.co": (_SOCIAL, "x"),
    "linkedin.com": (_SOCIAL, "linkedin"),
    "lnkd.in": (_SOCIAL, "linkedin"),
    "reddit.com": (_SOCIAL, "reddit"),
    "pinterest.com": (_SOCIAL, "pinterest"),
    "tiktok.com": (_SOCIAL, "tiktok"),
    "youtube.com": (_SOCIAL, "youtube"),
    "youtu.be": (_SOCIAL, "youtube"),
    "quora.com": (_SOCIAL, "quora"),
    "vk.com": (_SOCIAL, "vk"),
    "ok.ru": (_SOCIAL, "ok"),
    "t.me": (_SOCIAL, "telegram"),
    "telegram.org": (_SOCIAL, "telegram"),
    "whatsapp.com": (_SOCIAL, "whatsapp"),
    "wa.me": (_SOCIAL, "whatsapp"),
    "line.me": (_SOCIAL, "line"),
    "discord.com": (_SOCIAL, "discord"),
    "bsky.app": (_SOCIAL, "bluesky"),
    "mastodon.social": (_SOCIAL, "mastodon"),
    "snapchat.com": (_SOCIAL, "snapchat"),
    "tumblr.com": (_SOCIAL, "tumblr"),
    "news.ycombinator.com": (_SOCIAL, "hacker_news"),
    "stackoverflow.com": (_SOCIAL, "stackoverflow"),
    # AI assistants
    "chatgpt.com": (_AI, "chatgpt"),
    "chat.openai.com": (_AI, "chatgpt"),
    "perplexity.ai": (_AI, "perplexity"),
    "gemini.google.com": (_AI, "gemini"),
    "bard.google.com": (_AI, "gemini"),
    "notebooklm.google.com": (_AI, "notebooklm"),
    "copilot.microsoft.com": (_AI, "copilot"),
    "claude.ai": (_AI, "claude"),
    "grok.com": (_AI, "grok"),
    "meta.ai": (_AI, "meta_ai"),
    "chat.mistral.ai": (_AI, "le_chat"),
    "poe.com": (_AI, "poe"),
    "you.com": (_AI, "you"),
    "phind.com": (_AI, "phind"),
    "doubao.com": (_AI, "doubao"),
    "kimi.com": (_AI, "kimi"),
    "kimi.moonshot.cn": (_AI, "kimi"),
    "deepseek.com": (_AI, "deepseek"),
    "yiyan.baidu.com": (_AI, "wenxin"),
    "chat.baidu.com": (_AI, "wenxin"),
    "tongyi.com": (_AI, "tongyi"),
    "tongyi.aliyun.com": (_AI, "tongyi"),
    "qianwen.com": (_AI, "tongyi"),
    "yuanbao.tencent.com": (_AI, "yuanbao"),
    "chatglm.cn": (_AI, "chatglm"),
    "xinghuo.xfyun.cn": (_AI, "xinghuo"),
    "metaso.cn": (_AI, "metaso"),
    # Web mail
    "mail.google.com": (_EMAIL, "gmail"),
    "com.google.android.gm": (_EMAIL, "gmail"),
    "outlook.live.com": (_EMAIL, "outlook"),
    "outlook.office.com": (_EMAIL, "outlook"),
    "outlook.office365.com": (_EMAIL, "outlook"),
    "mail.qq.com": (_EMAIL, "qqmail"),
    "exmail.qq.com": (_EMAIL, "qqmail"),
    "mail.163.com": (_EMAIL, "netease"),
    "mail.126.com": (_EMAIL, "netease"),
    "mail.sina.com.cn": (_EMAIL, "sina"),
    "mail.aliyun.com": (_EMAIL, "aliyun"),
    "qiye.aliyun.com": (_EMAIL, "aliyun"),
    "mail.yahoo.com": (_EMAIL, "yahoo"),
    "mail.yandex.ru": (_EMAIL, "yandex"),
    "mail.proton.me": (_EMAIL, "proton"),
}

COUNTRY_HOSTS: Final[dict[str, tuple[Channel, str]]] = {
    "google": (_SEARCH, "google"),
    "yahoo": (_SEARCH, "yahoo"),
    "yandex": (_SEARCH, "yandex"),
    "pinterest": (_SOCIAL, "pinterest"),
}
"""Names found under many country domains: `www.google.com.hk`, `search.yahoo.co.jp`."""

STEPS_OF_A_VISIT: Final = frozenset(
    {
        # Payment
        "alipay.com",
        "alipay.cn",
        "alipayobjects.com",
        "pay.weixin.qq.com",
        "wx.tenpay.com",
        "tenpay.com",
        "unionpay.com",
        "95516.com",
        "cashier.jd.com",
        "pay.jd.com",
        "jdpay.com",
        "paypal.com",
        "checkout.stripe.com",
        "buy.stripe.com",
        "hooks.stripe.com",
        "pay.google.com",
        "adyen.com",
        "klarna.com",
        "checkout.shopify.com",
        "pay.amazon.com",
        "squareup.com",
        # Sign-in
        "accounts.google.com",
        "appleid.apple.com",
        "login.microsoftonline.com",
        "login.live.com",
        "open.weixin.qq.com",
        "graph.qq.com",
        "xui.ptlogin2.qq.com",
        "open.work.weixin.qq.com",
    }
)
"""Where a visitor is sent in the middle of a visit and comes back from. Coming back is no arrival."""

SOURCE_ALIASES: Final[dict[str, str]] = {
    "fb": "facebook",
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
"""How marketers write a source, where it is not the name used here."""

SYNDICATION_SOURCES: Final = frozenset({"feedburner", "feedly", "inoreader", "rss"})
"""Readers of a site's own feed. They tag with `utm_medium=feed` too, long before in-feed advertising did."""

FEED_SOURCES: Final = frozenset({"oceanengine", "tencent"})
"""Advertising systems that sell in-feed places above all."""

SEARCH_SOURCES: Final = frozenset(
    name for table in (HOSTS, COUNTRY_HOSTS) for channel, name in table.values() if channel is _SEARCH
)
SOCIAL_SOURCES: Final = frozenset(
    name for table in (HOSTS, COUNTRY_HOSTS) for channel, name in table.values() if channel is _SOCIAL
)
AI_SOURCES: Final = frozenset(name for channel, name in HOSTS.values() if channel is _AI)

TWO_LABEL_SUFFIXES: Final = frozenset({"ac", "co", "com", "edu", "gov", "ne", "net", "or", "org"})
"""Second-level labels below which a country registers names: `example.com.cn`, `example.co.uk`."""

SHARED_SUFFIXES: Final = frozenset(
    {
        "blogspot.com",
        "gitee.io",
        "github.io",
        "myshopify.com",
        "netlify.app",
        "pages.dev",
        "vercel.app",
        "wordpress.com",
    }
)
"""Under these, neighbours are strangers to each other."""
