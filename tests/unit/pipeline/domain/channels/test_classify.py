"""The channel rules, one row per case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.channels.addresses import MAX_ADDRESS_CHARACTERS, host_of
from pipeline.domain.channels.app_tables import APPS
from pipeline.domain.channels.campaign_tags import has_tags, read_tags
from pipeline.domain.channels.classify import Arrival, classify_ad, classify_arrival, compile_channels
from pipeline.domain.channels.host_tables import COUNTRY_HOSTS, HOSTS, STEPS_OF_A_SESSION
from pipeline.domain.channels.tables import CLICK_IDS, HINTED_CLICK_IDS, MEDIUM_OF, ORGANIC_CLICK_IDS, UNPAID, Channel
from schemas.control import ChannelRule, ChannelSettings

SITE = "https://www.shop.example.com"

BY_PAGE = [
    # page query, channel, source, medium, campaign, is_click
    ("gclid=abc", "paid_search", "google", "cpc", "", True),
    ("gbraid=abc", "paid_search", "google", "cpc", "", True),
    ("WBRAID=abc", "paid_search", "google", "cpc", "", True),
    ("msclkid=1", "paid_search", "bing", "cpc", "", True),
    ("bd_vid=1", "paid_search", "baidu", "cpc", "", True),
    ("qhclickid=1", "paid_search", "so", "cpc", "", True),
    ("dclid=1", "display", "google", "display", "", True),
    ("uctrackid=1", "feed", "uc", "feed", "", True),
    ("gad_source=1", "paid_search", "google", "cpc", "", True),
    ("qz_gdt=1", "feed", "tencent", "feed", "", True),
    ("gdt_vid=1", "feed", "tencent", "feed", "", True),
    ("ksclickid=1", "feed", "kuaishou", "feed", "", True),
    ("ttclid=1", "paid_social", "tiktok", "paid_social", "", True),
    ("twclid=1", "paid_social", "x", "paid_social", "", True),
    ("li_fat_id=1", "paid_social", "linkedin", "paid_social", "", True),
    # tags beside a click id: source and campaign are the marketer's, another kind of advertising goes before the id's
    ("gclid=a&utm_source=google&utm_medium=cpc&utm_campaign=Brand", "paid_search", "google", "cpc", "Brand", True),
    ("gclid=a&utm_medium=display&utm_campaign=r", "display", "google", "display", "r", True),
    ("ttclid=a&utm_medium=cpc", "paid_social", "tiktok", "cpc", "", True),
    ("gclid=&utm_source=newsletter&utm_medium=email", "email", "newsletter", "email", "", True),
    # tags that name another platform contradict it: channel and source are the click id's
    ("gclid=a&utm_source=newsletter&utm_medium=email&utm_campaign=may", "paid_search", "google", "cpc", "may", True),
    ("msclkid=a&utm_source=google&utm_medium=display", "paid_search", "bing", "cpc", "", True),
    ("gclid=a&utm_source=youtube&utm_medium=video", "paid_video", "google", "video", "", True),
    # generic names need a second hint
    ("clickid=1", "direct", "direct", "none", "", False),
    ("callback=https%3A%2F%2Fx", "direct", "direct", "none", "", False),
    ("track_id=1", "direct", "direct", "none", "", False),
    ("click_id=1&utm_source=cj&utm_medium=affiliate", "affiliate", "cj", "affiliate", "", True),
    ("clickid=1&utm_source=douyin", "feed", "oceanengine", "feed", "", True),
    ("callback=1&utm_source=kuaishou&utm_medium=cpc", "feed", "kuaishou", "cpc", "", True),
    ("track_id=1&utm_source=bilibili", "feed", "bilibili", "feed", "", True),
    ("click_id=1&utm_source=xhs&utm_medium=cpc", "feed", "xiaohongshu", "cpc", "", True),
    ("clickid=1&utm_medium=cpc", "feed", "oceanengine", "cpc", "", True),
    # nobody filled it in
    ("clickid=__CLICKID__&utm_source=douyin", "organic_social", "douyin", "social", "", False),
    ("gclid={gclid}", "direct", "direct", "none", "", False),
    # on every link out of Facebook
    ("fbclid=a", "organic_social", "facebook", "social", "", False),
    ("fbclid=a&utm_medium=paid_social&utm_campaign=c", "paid_social", "facebook", "paid_social", "c", True),
    ("fbclid=a&utm_source=fb&utm_medium=cpc", "paid_social", "facebook", "cpc", "", True),
    ("fbclid=a&utm_source=ig&utm_medium=social", "organic_social", "instagram", "social", "", False),
    ("fbclid=1&utm_source=cj&utm_medium=affiliate", "affiliate", "cj", "affiliate", "", True),
    ("fbclid=1&utm_source=mailchimp&utm_medium=email", "email", "mailchimp", "email", "", True),
    ("fbclid=1&utm_medium=sms", "sms", "", "sms", "", True),
    ("fbclid=1&utm_source=kol&utm_campaign=11.11", "other_campaign", "kol", "", "11.11", True),
    ("igshid=1", "organic_social", "instagram", "social", "", False),
    ("srsltid=1", "organic_search", "google", "organic", "", False),
    # placeholders are no tags
    ("utm_source=(direct)&utm_medium=(none)", "direct", "direct", "none", "", False),
    ("utm_source=undefined&utm_medium=undefined&utm_campaign=null", "direct", "direct", "none", "", False),
    ("utm_source=%28not+set%29&utm_medium=cpc", "paid_other", "", "cpc", "", True),
    ("utm_source={{site_source_name}}&utm_campaign={{campaign.name}}", "direct", "direct", "none", "", False),
    ("utm_source=baidu&utm_medium=cpc&utm_campaign=__CID__", "paid_search", "baidu", "cpc", "", True),
    ("utm_source=%24%7Bsource%7D", "direct", "direct", "none", "", False),
    ("utm_source=direct&utm_medium=none", "direct", "direct", "none", "", False),
    ("utm_source=Direct&utm_medium=direct", "direct", "direct", "none", "", False),
    ("utm_source=unknown&utm_medium=notset&utm_campaign=*|CAMPAIGN|*", "direct", "direct", "none", "", False),
    ("utm_source=$source&utm_medium=cpc", "paid_other", "", "cpc", "", True),
    ("utm_source=post&utm_medium=direct_mail", "other_campaign", "post", "direct_mail", "", True),
    ("utm_campaign=brand_{{ad.id}}", "other_campaign", "", "", "brand_{{ad.id}}", True),
    # media as marketers write them
    ("utm_source=google&utm_medium=cpl", "paid_search", "google", "cpl", "", True),
    ("utm_source=google&utm_medium=CPC-Brand", "paid_search", "google", "cpc_brand", "", True),
    ("utm_source=bing&utm_medium=paid_ads", "paid_search", "bing", "paid_ads", "", True),
    ("utm_source=google&utm_medium=brand_cpc", "paid_search", "google", "brand_cpc", "", True),
    ("utm_source=google&utm_medium=cpc2", "paid_search", "google", "cpc2", "", True),
    ("utm_source=google&utm_medium=pay-per-click", "paid_search", "google", "pay_per_click", "", True),
    ("utm_source=google&utm_medium=copy", "organic_search", "google", "copy", "", False),
    ("utm_source=linkedin&utm_medium=sponsored", "paid_social", "linkedin", "sponsored", "", True),
    ("utm_source=baidu&utm_medium=竞价", "paid_search", "baidu", "竞价", "", True),
    ("utm_source=baidu&utm_medium=信息流广告", "feed", "baidu", "信息流广告", "", True),
    ("utm_source=aliyun&utm_medium=短信", "sms", "aliyun", "短信", "", True),
    ("utm_source=google&utm_medium=google_ppc", "paid_search", "google", "google_ppc", "", True),
    ("utm_source=criteo&utm_medium=display_retargeting", "display", "criteo", "display_retargeting", "", True),
    ("utm_source=iqiyi&utm_medium=in-stream-video", "paid_video", "iqiyi", "in_stream_video", "", True),
    ("utm_source=braze&utm_medium=web-push", "push", "braze", "web_push", "", True),
    ("utm_source=aliyun&utm_medium=sms_promo", "sms", "aliyun", "sms_promo", "", True),
    ("utm_source=awin&utm_medium=affiliate_network", "affiliate", "awin", "affiliate_network", "", True),
    ("utm_source=meta&utm_medium=cpc", "paid_social", "facebook", "cpc", "", True),
    ("utm_source=facebook_ads&utm_medium=cpc", "paid_social", "facebook", "cpc", "", True),
    ("utm_source=an&utm_medium=paid", "paid_social", "facebook", "paid", "", True),
    ("utm_source=msg&utm_medium=paid_social", "paid_social", "facebook", "paid_social", "", True),
    ("utm_source=google_ads&utm_medium=cpc", "paid_search", "google", "cpc", "", True),
    ("utm_source=taboola&utm_medium=cpc", "paid_other", "taboola", "cpc", "", True),
    ("utm_source=wechat&utm_medium=article", "organic_social", "wechat", "article", "", False),
    ("utm_source=facebook&utm_medium=organic", "organic_social", "facebook", "organic", "", False),
    ("utm_source=chatgpt.com&utm_medium=referral", "ai_assistant", "chatgpt", "referral", "", False),
    # tags alone: the medium decides
    ("utm_source=baidu&utm_medium=cpc&utm_campaign=spring", "paid_search", "baidu", "cpc", "spring", True),
    ("utm_source=Baidu&utm_medium=SEM", "paid_search", "baidu", "sem", "", True),
    ("utm_source=weibo&utm_medium=cpc", "paid_social", "weibo", "cpc", "", True),
    ("utm_source=oceanengine&utm_medium=cpc", "feed", "oceanengine", "cpc", "", True),
    ("utm_source=somebody&utm_medium=cpc", "paid_other", "somebody", "cpc", "", True),
    ("utm_source=somebody&utm_medium=paid", "paid_other", "somebody", "paid", "", True),
    ("utm_source=douyin&utm_medium=Paid-Social", "paid_social", "douyin", "paid_social", "", True),
    ("utm_source=toutiao&utm_medium=feed", "feed", "toutiao", "feed", "", True),
    ("utm_medium=%E4%BF%A1%E6%81%AF%E6%B5%81", "feed", "", "信息流", "", True),
    ("utm_source=iqiyi&utm_medium=cpm", "display", "iqiyi", "cpm", "", True),
    ("utm_source=youtube&utm_medium=video", "paid_video", "youtube", "video", "", True),
    ("utm_source=duomai&utm_medium=cps", "affiliate", "duomai", "cps", "", True),
    ("utm_source=mailchimp&utm_medium=E-Mail&utm_campaign=may", "email", "mailchimp", "e_mail", "may", True),
    ("utm_source=aliyun&utm_medium=sms", "sms", "aliyun", "sms", "", True),
    ("utm_source=jpush&utm_medium=push", "push", "jpush", "push", "", True),
    ("utm_source=google&utm_medium=organic", "organic_search", "google", "organic", "", False),
    ("utm_source=wechat&utm_medium=social", "organic_social", "wechat", "social", "", False),
    ("utm_source=feedburner&utm_medium=feed&utm_campaign=blog", "referral", "feedburner", "feed", "blog", False),
    ("utm_source=partner&utm_medium=referral", "referral", "partner", "referral", "", False),
    # no medium, or an unknown one: the source decides
    ("utm_source=chatgpt.com", "ai_assistant", "chatgpt", "ai", "", False),
    ("utm_source=perplexity", "ai_assistant", "perplexity", "ai", "", False),
    ("utm_source=weixin", "organic_social", "wechat", "social", "", False),
    ("utm_source=www.baidu.com", "organic_search", "baidu", "organic", "", False),
    ("utm_source=newsletter", "email", "newsletter", "email", "", True),
    ("utm_source=poster", "other_campaign", "poster", "", "", True),
    ("utm_source=kol&utm_medium=livestream&utm_campaign=11.11", "other_campaign", "kol", "livestream", "11.11", True),
    ("utm_campaign=leaflet", "other_campaign", "", "", "leaflet", True),
    ("utm_id=42", "other_campaign", "", "", "42", True),
    # nothing of ours
    ("id=42&q=utm_source", "direct", "direct", "none", "", False),
    ("utm_term=shoes", "direct", "direct", "none", "", False),
    ("utm_source=", "direct", "direct", "none", "", False),
]


@pytest.mark.parametrize(("query", "channel", "source", "medium", "campaign", "is_click"), BY_PAGE)
def test_click_ids_and_tags(query: str, channel: str, source: str, medium: str, campaign: str, is_click: bool) -> None:
    arrival = classify_arrival(f"{SITE}/landing?{query}#top", "", ("", "", ""))
    assert _facts(arrival) == (channel, source, medium, campaign, is_click)
    assert arrival.rule


def _facts(arrival: Arrival) -> tuple[str, str, str, str, bool]:
    return arrival.channel, arrival.source, arrival.medium, arrival.campaign, arrival.is_click


@pytest.mark.parametrize(
    "address",
    [
        "/?spm=1#/item?utm_source=baidu&utm_medium=cpc",
        "/#/item?utm_source=baidu&utm_medium=cpc",
        "/#utm_source=baidu&utm_medium=cpc",
        "/?utm_source=baidu&amp;utm_medium=cpc",
        "/?a=1?utm_source=baidu&utm_medium=cpc",
        "/?utm_source=baidu&AMP;utm_medium=cpc",
        "/?utm_source=baidu&amp;amp;utm_medium=cpc",
        "/?utm_source=baidu&#38;utm_medium=cpc",
        "/?utm_source=%62aidu&utm%5Fmedium=cpc&utm_medium=CPC",
        "/?utm_source=+baidu+&utm_medium=cp%00c",
        "/?utm_source=bai%00du&UTM_MEDIUM=cpc",
    ],
)
def test_addresses_are_read_one_way(address: str) -> None:
    arrival = classify_arrival(SITE + address, "", ("", "", ""))
    assert (arrival.channel, arrival.source, arrival.medium) == ("paid_search", "baidu", "cpc")


def test_first_match_wins() -> None:
    page = SITE + "/?utm_source=baidu&utm_medium=cpc"
    assert classify_arrival(page, "https://www.zhihu.com/", ("", "", "")).channel == "paid_search"
    assert classify_arrival(SITE + "/?gclid=1", "https://www.zhihu.com/", ("edm", "email", "")).channel == "paid_search"
    assert classify_arrival(SITE + "/?id=1", "https://www.zhihu.com/", ("", "", "")).channel == "organic_social"


def test_the_events_own_campaign_fields_go_before_the_page() -> None:
    page = SITE + "/?utm_source=baidu&utm_medium=cpc&utm_campaign=old"
    assert _facts(classify_arrival(page, "", ("", "", "new"))) == ("paid_search", "baidu", "cpc", "new", True)
    assert _facts(classify_arrival("", "", ("Facebook", "Paid Social", "x"))) == (
        "paid_social",
        "facebook",
        "paid_social",
        "x",
        True,
    )
    assert _facts(classify_arrival(page, "", ("(direct)", "(none)", ""))) == (
        "paid_search",
        "baidu",
        "cpc",
        "old",
        True,
    )


def test_a_referrer_is_a_second_hint() -> None:
    arrival = classify_arrival(SITE + "/?clickid=1", "https://www.douyin.com/", ("", "", ""))
    assert (arrival.channel, arrival.source, arrival.rule) == ("feed", "oceanengine", "click_id:clickid")
    assert classify_arrival(SITE + "/?clickid=1", "https://partner.org/", ("", "", "")).channel == "referral"


RULES = compile_channels(
    ChannelSettings(
        own_domains=("shop-brand.example",),
        ignored_referrers=("survey.example",),
        rules=(
            ChannelRule("kol", "influencer", source="kol*"),
            ChannelRule("spring", "paid_social", campaign="*spring*2026", medium="cpc", new_source="agency"),
            ChannelRule("partners", "referral", referrer="*.partner.example"),
            ChannelRule("print", "print", landing_page="*/qr/*"),
        ),
    )
)


@pytest.mark.parametrize(
    ("page", "referrer", "channel", "source", "rule"),
    [
        ("/?utm_source=KOL-anna&utm_medium=cpc", "", "influencer", "kol_anna", "app:kol"),
        ("/?gclid=1&utm_source=kol_b", "", "influencer", "kol_b", "app:kol"),
        ("/?utm_source=google&utm_medium=cpc&utm_campaign=Spring-May-2026", "", "paid_social", "agency", "app:spring"),
        (
            "/?utm_source=google&utm_medium=cpc&utm_campaign=Spring",
            "",
            "paid_search",
            "google",
            "tags:medium_and_source",
        ),
        ("/", "https://www.partner.example/", "referral", "www.partner.example", "app:partners"),
        ("/qr/42", "", "print", "", "app:print"),
        ("/", "https://forms.survey.example/", "direct", "direct", "direct"),
        ("/", "https://blog.shop-brand.example/", "direct", "direct", "direct"),
        ("/", "https://other.example/", "referral", "other.example", "referrer:site"),
    ],
)
def test_the_apps_own_rules_come_first(page: str, referrer: str, channel: str, source: str, rule: str) -> None:
    arrival = classify_arrival(SITE + page, referrer, ("", "", ""), RULES)
    assert (arrival.channel, arrival.source, arrival.rule) == (channel, source, rule)


def test_an_ad_is_judged_by_the_apps_rules_too() -> None:
    assert classify_ad({"source": "kol_x"}, "", ("", "", ""), RULES).channel == "influencer"


@pytest.mark.parametrize(
    ("properties", "page", "channel", "source", "campaign"),
    [
        ({"channel": "paid_search", "source": "baidu", "campaign": "s"}, "", "paid_search", "baidu", "s"),
        ({"channel": "Search Ad"}, "", "search_ad", "", ""),
        ({"channel": "direct", "platform": "douyin"}, "", "paid_social", "douyin", ""),
        ({"channel": "organic_search", "utm_source": "google"}, "", "paid_search", "google", ""),
        ({"platform": "bytedance", "campaign_name": "c"}, "", "feed", "oceanengine", "c"),
        ({"medium": "cpm", "source": "iqiyi"}, "", "display", "iqiyi", ""),
        ({}, SITE + "/?gclid=1&utm_campaign=b", "paid_search", "google", "b"),
        ({}, SITE + "/", "paid_other", "", ""),
        ({"channel": 7, "source": ["x"], "campaign": " "}, "", "paid_other", "", ""),
        ({"source": "chatgpt"}, "", "paid_other", "chatgpt", ""),
        ({"campaign": "c"}, "", "paid_other", "", "c"),
    ],
)
def test_ads_are_never_unpaid(properties: dict, page: str, channel: str, source: str, campaign: str) -> None:
    arrival = classify_ad(properties, page, ("", "", ""))
    assert (arrival.channel, arrival.source, arrival.campaign, arrival.is_click) == (channel, source, campaign, True)
    assert arrival.channel not in UNPAID


def test_an_ad_may_be_described_by_the_campaign_fields() -> None:
    assert _facts(classify_ad({}, "", ("tencent", "feed", "c"))) == ("feed", "tencent", "feed", "c", True)


def test_what_is_searched_of_an_address_is_bounded() -> None:
    tags = "utm_source=baidu&utm_medium=cpc"
    assert has_tags(SITE + "/?" + "?" * 3_000 + tags)
    assert not has_tags(SITE + "/?" + "?" * MAX_ADDRESS_CHARACTERS + tags)
    assert classify_arrival(SITE + "/?" + "?" * MAX_ADDRESS_CHARACTERS + tags, "", ("", "", "")).channel == "direct"


def test_tags_are_bounded_and_the_first_that_says_something_counts() -> None:
    assert len(read_tags(SITE + "/?utm_campaign=" + "x" * 5000).campaign) == 200
    assert read_tags(SITE + "/?utm_source=&utm_source=baidu&utm_source=bing").source == "baidu"


@given(st.text(), st.text(), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_no_text_breaks_the_rules(page: str, referrer: str, source: str, medium: str, campaign: str) -> None:
    arrival = classify_arrival("https://" + page, "https://" + referrer, (source, medium, campaign))
    assert arrival.channel in set(Channel)
    is_paid_or_tagged = arrival.channel not in UNPAID and not arrival.rule.startswith("referrer:")
    assert arrival.is_click == is_paid_or_tagged, "a mail site as referrer is e-mail, and no click on an ad"
    has_tags(page)
    host_of(referrer)


def test_the_tables_agree_with_each_other() -> None:
    for table in (HOSTS, COUNTRY_HOSTS, APPS):
        for host, (channel, _) in table.items():
            assert host == host.lower()
            assert channel in MEDIUM_OF
    for channel, _ in (CLICK_IDS | HINTED_CLICK_IDS).values():
        assert channel in MEDIUM_OF
        assert channel not in UNPAID
    assert all(channel in UNPAID for channel, _ in ORGANIC_CLICK_IDS.values())
    assert all(name == name.lower() for name in CLICK_IDS | HINTED_CLICK_IDS | ORGANIC_CLICK_IDS)
    assert not STEPS_OF_A_SESSION & HOSTS.keys()
