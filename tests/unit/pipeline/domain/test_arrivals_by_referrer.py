"""Arrivals by their referrer alone, one row per case."""

import pytest

from pipeline.domain.channels.classify import DIRECT, classify_arrival
from pipeline.domain.channels.tables import MEDIUM_OF, Channel

SITE = "https://www.shop.example.com"


@pytest.mark.parametrize(
    ("referrer", "channel", "source"),
    [
        ("https://www.baidu.com/link?url=x", "organic_search", "baidu"),
        ("https://m.baidu.com/", "organic_search", "baidu"),
        ("https://tieba.baidu.com/p/1", "organic_social", "tieba"),
        ("https://baike.baidu.com/item/x", "referral", "baike.baidu.com"),
        ("https://www.sogou.com/web", "organic_search", "sogou"),
        ("https://www.so.com/s", "organic_search", "so"),
        ("https://m.sm.cn/s", "organic_search", "shenma"),
        ("https://so.toutiao.com/search", "organic_search", "toutiao"),
        ("https://www.google.com/", "organic_search", "google"),
        ("https://www.google.com.hk/", "organic_search", "google"),
        ("https://google.co.jp/", "organic_search", "google"),
        ("android-app://com.google.android.googlequicksearchbox/", "organic_search", "google"),
        ("https://search.yahoo.co.jp/search", "organic_search", "yahoo"),
        ("https://yandex.ru/search", "organic_search", "yandex"),
        ("https://www.bing.com/search?q=x", "organic_search", "bing"),
        ("https://duckduckgo.com/", "organic_search", "duckduckgo"),
        ("https://weibo.com/u/1", "organic_social", "weibo"),
        ("https://mp.weixin.qq.com/s/x", "organic_social", "wechat"),
        ("https://www.zhihu.com/question/1", "organic_social", "zhihu"),
        ("https://link.zhihu.com/?target=x", "organic_social", "zhihu"),
        ("https://www.xiaohongshu.com/explore", "organic_social", "xiaohongshu"),
        ("https://www.douyin.com/video/1", "organic_social", "douyin"),
        ("https://www.bilibili.com/video/BV1", "organic_social", "bilibili"),
        ("https://l.facebook.com/l.php", "organic_social", "facebook"),
        ("https://t.co/abc", "organic_social", "x"),
        ("https://www.linkedin.com/feed", "organic_social", "linkedin"),
        ("https://chatgpt.com/", "ai_assistant", "chatgpt"),
        ("https://www.perplexity.ai/search", "ai_assistant", "perplexity"),
        ("https://gemini.google.com/app", "ai_assistant", "gemini"),
        ("https://copilot.microsoft.com/", "ai_assistant", "copilot"),
        ("https://claude.ai/chat/1", "ai_assistant", "claude"),
        ("https://www.doubao.com/chat", "ai_assistant", "doubao"),
        ("https://kimi.moonshot.cn/", "ai_assistant", "kimi"),
        ("https://chat.deepseek.com/", "ai_assistant", "deepseek"),
        ("https://yiyan.baidu.com/", "ai_assistant", "wenxin"),
        ("https://mail.google.com/", "email", "gmail"),
        ("https://mail.qq.com/", "email", "qqmail"),
        ("https://blog.partner.org/post", "referral", "blog.partner.org"),
        # other services of search portals
        ("https://mail.naver.com/", "email", "naver"),
        ("https://mail.yahoo.com/", "email", "yahoo"),
        ("https://mail.yandex.ru/", "email", "yandex"),
        ("https://calendar.google.com/", "referral", "calendar.google.com"),
        ("https://news.google.com/articles/x", "referral", "news.google.com"),
        ("https://docs.google.com/", "referral", "docs.google.com"),
        ("https://cafe.naver.com/x", "referral", "cafe.naver.com"),
        ("https://finance.yahoo.com/", "referral", "finance.yahoo.com"),
        ("https://pan.baidu.com/s/1", "referral", "pan.baidu.com"),
        ("https://search.naver.com/search.naver?query=x", "organic_search", "naver"),
        ("https://m.search.daum.net/", "organic_search", "daum"),
        ("https://weixin.sogou.com/", "organic_search", "sogou"),
        ("https://passport.baidu.com/", "direct", "direct"),
        ("https://login.yahoo.com/", "direct", "direct"),
        ("https://pay.google.com/", "direct", "direct"),
        ("https://nid.naver.com/", "direct", "direct"),
        ("https://m.cafe.naver.com/x", "referral", "m.cafe.naver.com"),
        ("https://m.mail.naver.com/", "email", "naver"),
        ("https://mail.aol.com/", "email", "aol"),
        ("https://search.aol.com/aol/search", "organic_search", "aol"),
        ("https://blog.goo.ne.jp/x", "referral", "blog.goo.ne.jp"),
        ("https://pan.quark.cn/s/1", "referral", "pan.quark.cn"),
        # sign-in of other known sites
        ("https://passport.weibo.com/", "direct", "direct"),
        ("https://accounts.kakao.com/", "direct", "direct"),
        ("https://id.vk.com/auth", "direct", "direct"),
        ("https://id.pinterest.com/pin/1", "organic_social", "pinterest"),
        # users' sites under a shared name
        ("https://google.github.io/", "referral", "google.github.io"),
        ("https://baidu.blogspot.com/", "referral", "baidu.blogspot.com"),
        ("https://baidu.example/", "referral", "baidu.example"),
        # apps
        ("android-app://com.pinterest/", "organic_social", "pinterest"),
        ("android-app://com.facebook.katana/https/x", "organic_social", "facebook"),
        ("android-app://com.tencent.mm/", "organic_social", "wechat"),
        ("android-app://com.google.android.gm/", "email", "gmail"),
        ("android-app://com.openai.chatgpt", "ai_assistant", "chatgpt"),
        ("android-app://com.example.partner/", "referral", "com.example.partner"),
        ("https://l.instagram.com/?u=x", "organic_social", "instagram"),
        ("https://duck.ai/", "ai_assistant", "duck_ai"),
        # AMP caches show somebody's page
        ("https://www-shop-example-com.cdn.ampproject.org/v/s/x", "direct", "direct"),
        ("https://blog-my--partner-org.cdn.ampproject.org/v/s/x", "referral", "blog.my-partner.org"),
        ("https://www-shop-example-com.bing-amp.com/c/s/x", "direct", "direct"),
        # addresses
        ("https://[2001:db8::1]:8443/x", "referral", "2001:db8::1"),
        ("http://203.0.113.7:8080/x", "referral", "203.0.113.7"),
        ("https://www.Partner.org:8443/post", "referral", "partner.org"),
        # steps of a session
        ("https://openapi.alipay.com/gateway", "direct", "direct"),
        ("https://www.paypal.com/checkout", "direct", "direct"),
        ("https://checkout.stripe.com/c/pay", "direct", "direct"),
        ("https://pay.weixin.qq.com/", "direct", "direct"),
        ("https://accounts.google.com/o/oauth2", "direct", "direct"),
        ("https://open.weixin.qq.com/connect/qrconnect", "direct", "direct"),
        # the site itself
        ("https://www.shop.example.com/cart", "direct", "direct"),
        ("https://blog.example.com/", "direct", "direct"),
        ("https://example.com/", "direct", "direct"),
        # no site
        ("", "direct", "direct"),
        ("about:blank", "direct", "direct"),
        ("not a url", "direct", "direct"),
        ("https://", "direct", "direct"),
    ],
)
def test_referrers(referrer: str, channel: str, source: str) -> None:
    arrival = classify_arrival(SITE + "/p/1", referrer, ("", "", ""))
    assert (arrival.channel, arrival.source, arrival.is_click) == (channel, source, False)
    assert arrival.medium == MEDIUM_OF[Channel(channel)]


@pytest.mark.parametrize(
    ("referrer", "page", "is_same"),
    [
        ("https://shop.example.com.cn/", "https://www.example.com.cn/", True),
        ("https://other.com.cn/", "https://www.example.com.cn/", False),
        ("https://other.co.uk/", "https://example.co.uk/", False),
        ("https://one.github.io/", "https://two.github.io/", False),
        ("http://10.0.0.1/", "http://10.0.0.2/", False),
        ("http://10.0.0.1:8080/", "http://10.0.0.1/", True),
        ("http://localhost:3000/", "http://localhost:8000/", True),
        ("https://example.com/", "", False),
    ],
)
def test_same_site(referrer: str, page: str, is_same: bool) -> None:
    assert (classify_arrival(page, referrer, ("", "", "")) == DIRECT) is is_same
