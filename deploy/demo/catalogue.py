"""The demo shop's data: where its visitors come from, the pages and products they look at, their devices.

Addresses are of the ranges kept for documentation (RFC 5737, RFC 2606), so none is anybody's.
"""

from dataclasses import dataclass, field
from typing import Final

SHOP: Final = "https://shop.example"


@dataclass(frozen=True)
class Arrival:
    """A way into the shop. `{token}` in the query becomes a fresh click id."""

    name: str
    weight: float
    query: str = ""
    referrer: str = ""
    cart_rate: float = 0.12
    """Share of sessions that put something into the cart."""
    campaign: dict[str, str] = field(default_factory=dict)
    """`context.campaign` of the ad events before the session; empty: no ad."""


ARRIVALS: Final[tuple[Arrival, ...]] = (
    Arrival(
        "search ad, Baidu",
        12,
        "?bd_vid={token}&utm_source=baidu&utm_medium=cpc&utm_campaign=brand_search",
        "https://www.baidu.com/s?wd=shoes",
        0.24,
        {"source": "baidu", "medium": "cpc", "name": "brand_search"},
    ),
    Arrival("search ad, Google", 8, "?gclid={token}", "https://www.google.com/", 0.22),
    Arrival(
        "feed ad, Douyin",
        14,
        "?utm_source=douyin&utm_medium=feed&utm_campaign=spring_feed",
        "",
        0.10,
        {"source": "douyin", "medium": "feed", "name": "spring_feed"},
    ),
    Arrival(
        "feed ad, WeChat",
        8,
        "?qz_gdt={token}&utm_source=wechat&utm_medium=feed&utm_campaign=moments",
        "",
        0.11,
        {"source": "wechat", "medium": "feed", "name": "moments"},
    ),
    Arrival("e-mail", 7, "?utm_source=newsletter&utm_medium=email&utm_campaign=weekly", "", 0.28),
    Arrival("organic search", 16, "", "https://www.baidu.com/", 0.14),
    Arrival("organic search, Bing", 4, "", "https://cn.bing.com/", 0.13),
    Arrival("social", 6, "", "https://weibo.com/u/1001", 0.06),
    Arrival("referral", 4, "", "https://blog.example.org/best-shoes", 0.12),
    Arrival("AI assistant", 3, "", "https://chatgpt.com/", 0.18),
    Arrival("direct", 18, "", "", 0.20),
)

PRODUCTS: Final[tuple[tuple[str, str], ...]] = (
    ("runner-2", "399.00"),
    ("trail-x", "529.90"),
    ("city-low", "268.00"),
    ("socks-3", "39.90"),
    ("cap", "79.00"),
    ("jacket", "899.99"),
    ("bottle", "59.95"),
)

PAGES: Final = ("/", "/sale", "/new", "/men", "/women", "/kids", "/about", "/stores", "/size-guide")

SEARCHES: Final = ("跑鞋", "trail shoes", "袜子", "夹克", "gift")

DEVICES: Final[tuple[tuple[str, str], ...]] = (
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148", "zh-CN"),
    ("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/139.0.0.0 Mobile Safari/537.36", "zh-CN"),
    ("Mozilla/5.0 (Linux; Android 14; 23116PN5BC) AppleWebKit/537.36 MicroMessenger/8.0.50", "zh-CN"),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/139.0.0.0 Safari/537.36", "zh-CN"),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.5 Safari/605.1.15", "en-US"),
)
