"""The apps that people come from, by the package in an `android-app://` referrer."""

from typing import Final

from pipeline.domain.channels.tables import Channel

_SEARCH: Final = Channel.ORGANIC_SEARCH
_SOCIAL: Final = Channel.ORGANIC_SOCIAL
_AI: Final = Channel.AI_ASSISTANT
_EMAIL: Final = Channel.EMAIL

APPS: Final[dict[str, tuple[Channel, str]]] = {
    "com.google.android.googlequicksearchbox": (_SEARCH, "google"),
    "com.google.android.gm": (_EMAIL, "gmail"),
    "com.google.android.apps.bard": (_AI, "gemini"),
    "com.google.android.youtube": (_SOCIAL, "youtube"),
    "com.baidu.searchbox": (_SEARCH, "baidu"),
    "com.duckduckgo.mobile.android": (_SEARCH, "duckduckgo"),
    "com.microsoft.bing": (_SEARCH, "bing"),
    "com.quark.browser": (_SEARCH, "quark"),
    "com.sogou.activity.src": (_SEARCH, "sogou"),
    "com.yandex.searchapp": (_SEARCH, "yandex"),
    "ru.yandex.searchplugin": (_SEARCH, "yandex"),
    "com.nhn.android.search": (_SEARCH, "naver"),
    "com.microsoft.office.outlook": (_EMAIL, "outlook"),
    "com.tencent.androidqqmail": (_EMAIL, "qqmail"),
    "com.netease.mail": (_EMAIL, "netease"),
    "com.yahoo.mobile.client.android.mail": (_EMAIL, "yahoo"),
    "com.facebook": (_SOCIAL, "facebook"),
    "com.instagram": (_SOCIAL, "instagram"),
    "com.whatsapp": (_SOCIAL, "whatsapp"),
    "com.twitter": (_SOCIAL, "x"),
    "com.linkedin": (_SOCIAL, "linkedin"),
    "com.pinterest": (_SOCIAL, "pinterest"),
    "com.reddit": (_SOCIAL, "reddit"),
    "com.snapchat": (_SOCIAL, "snapchat"),
    "com.discord": (_SOCIAL, "discord"),
    "com.quora": (_SOCIAL, "quora"),
    "com.tumblr": (_SOCIAL, "tumblr"),
    "com.vkontakte": (_SOCIAL, "vk"),
    "com.zhiliaoapp.musically": (_SOCIAL, "tiktok"),
    "com.ss.android.ugc.trill": (_SOCIAL, "tiktok"),
    "com.ss.android.ugc.aweme": (_SOCIAL, "douyin"),
    "com.ss.android.article.news": (_SOCIAL, "toutiao"),
    "com.smile.gifmaker": (_SOCIAL, "kuaishou"),
    "com.kuaishou": (_SOCIAL, "kuaishou"),
    "com.xingin.xhs": (_SOCIAL, "xiaohongshu"),
    "com.sina.weibo": (_SOCIAL, "weibo"),
    "com.tencent.mm": (_SOCIAL, "wechat"),
    "com.tencent.mobileqq": (_SOCIAL, "qq"),
    "com.qzone": (_SOCIAL, "qzone"),
    "com.zhihu.android": (_SOCIAL, "zhihu"),
    "com.douban.frodo": (_SOCIAL, "douban"),
    "com.hupu.games": (_SOCIAL, "hupu"),
    "tv.danmaku.bili": (_SOCIAL, "bilibili"),
    "org.telegram": (_SOCIAL, "telegram"),
    "jp.naver.line": (_SOCIAL, "line"),
    "com.openai.chatgpt": (_AI, "chatgpt"),
    "com.anthropic.claude": (_AI, "claude"),
    "ai.perplexity": (_AI, "perplexity"),
    "ai.x.grok": (_AI, "grok"),
    "com.microsoft.copilot": (_AI, "copilot"),
    "com.deepseek.chat": (_AI, "deepseek"),
    "com.larus.nova": (_AI, "doubao"),
    "com.moonshot.kimichat": (_AI, "kimi"),
    "com.aliyun.tongyi": (_AI, "tongyi"),
    "com.tencent.hunyuan": (_AI, "yuanbao"),
}
"""Packages of `android-app://` referrers. A package stands for all that begin with it and a dot."""
