import os
import re
from collections import Counter
from pathlib import Path
from time import process_time

import pytest
from access_log import read_page_views
from crawlerdetect import CrawlerDetect
from crawlerdetect.providers import crawlers

from services.gateway.bots import is_bot

ACCESS_LOG = Path(os.environ.get("ATTRIKIT_ACCESS_LOG") or Path(__file__).parents[5] / "shared" / "data" / "access.log")

BOTS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
    "Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile (compatible; Bytespider)",
    "Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
    "facebookexternalhit/1.1",
    "Mozilla/5.0 (compatible; SomethingNew)",
]
PEOPLE = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 "
    "MicroMessenger/8.0.44(0x18002c2f) NetType/WIFI Language/zh_CN",
    "Mozilla/5.0 (Linux; Android 12; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/120.0 Mobile "
    "Safari/537.36 [FB_IAB/FB4A;FBAV/442.0.0.44.114;]",
    "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0 Safari/537.36",
    "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)",
    "",
]


@pytest.mark.parametrize("agent", BOTS)
def test_crawlers(agent: str) -> None:
    assert is_bot(agent)


@pytest.mark.parametrize("agent", PEOPLE)
def test_people(agent: str) -> None:
    assert not is_bot(agent)


LISTED = [re.sub(r"\\(.)", r"\1", name) for name in crawlers.data]


@pytest.mark.parametrize("form", ["{}", "Mozilla/5.0 (compatible; {}/1.0)", PEOPLE[0] + " {}"])
def test_every_name_the_library_knows(form: str) -> None:
    library = CrawlerDetect()
    agents = [form.format(name).strip() for name in LISTED]
    assert [agent for agent in agents if library.is_crawler(agent) and not is_bot(agent)] == []


IN_APPS = [
    "baiduboxapp/13.24.0.11 (Baidu; P1 13)",
    "com.ss.android.ugc.aweme/270401 NetType/wifi",
    "Weibo (iPhone14,5__weibo__13.1.0__iphone__os16.0)",
    "AliApp(AP/10.3.80.6000) AlipayClient/10.3.80.6000 Language/zh-Hans",
    "discover/7.60 xhsminiapp",
    "Kwai/9.10.20.22762 KSCM/1",
    "bili-universal/6 BiliApp/6450300",
    "NewsArticle/8.3 NetType/wifi TTWebView/0751",
    "MQQBrowser/6.2 TBS/045 MicroMessenger/8 MiniProgramEnv/android",
    "Instagram 226.0.0.16.117 Android (30/11; 420dpi)",
    "GSA/213.0.449417121",
    "[Pinterest/iOS]",
    "Line/12.1.0/IAB",
    ";KAKAOTALK 2409770",
    "Snapchat/12.0 (like Safari/8613)",
]


@pytest.mark.parametrize("app", IN_APPS)
def test_a_browser_inside_an_app_is_a_person(app: str) -> None:
    assert not is_bot(
        "Mozilla/5.0 (Linux; Android 12; wv) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/97 Mobile " + app
    )


def test_no_agent_takes_long() -> None:
    """The library's own expression takes 100 ms and more for some of these."""
    for agent in ("a" * 1024, "bo" * 512, "java" * 256, "cubot Linux " * 85, "Mozilla/5.0 " * 85, "x-" * 512):
        seconds = []
        for _ in range(3):
            is_bot.cache_clear()
            began = process_time()
            is_bot(agent)
            seconds.append(process_time() - began)
        assert min(seconds) < 0.05, agent[:20]


def test_real_traffic() -> None:
    """A quarter of the requests of a technical site are crawlers', feed readers' and scripts'."""
    if not ACCESS_LOG.exists():
        pytest.skip("no access log here; ATTRIKIT_ACCESS_LOG may name one")
    views = read_page_views(ACCESS_LOG, 1_700_000_000_000)
    agents = Counter(view.user_agent for view in views)
    library = CrawlerDetect()
    assert all(is_bot(agent) for agent in agents if library.is_crawler(agent))
    assert 0.25 < sum(agents[agent] for agent in agents if is_bot(agent)) / len(views) < 0.28
