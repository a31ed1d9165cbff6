"""Recognise the user agents of crawlers. Pure.

A bot's events are kept and marked, never dropped. The marks are few and general on purpose: a longer list marks
in-app browsers, which are people, and costs more per event than everything else.
"""

from typing import Final

MAX_USER_AGENT_CHARACTERS: Final = 1_024
"""Maximum length; longer ones are cut: no browser's is half as long."""

_MARKS: Final = (
    "bot",
    "crawl",
    "spider",
    "slurp",
    "headless",
    "lighthouse",
    "mediapartners",
    "facebookexternalhit",
    "phantomjs",
    "selenium",
    "playwright",
    "puppeteer",
    "synthetic",
    "pingdom",
    "ptst/",
    "scrapy",
    "google-",
    "http://",
    "https://",
)


def is_bot(user_agent: str) -> bool:
    """Tell whether an agent is a bot: by the marks crawlers put into their names, or `compatible;`, which of all
    browsers only old MSIE says.
    """
    name = user_agent.lower().replace("cubot", "")  # a maker of telephones
    if any(mark in name for mark in _MARKS):
        return True
    return "compatible;" in name and "msie" not in name


def is_browser(user_agent: str) -> bool:
    """Tell whether the sender of a request names itself as browsers and the crawlers that imitate them do.

    A backend reporting on a visitor's behalf calls itself `python-requests/2` or `curl/8`: that is no visitor's
    agent, so it says nothing about bots.
    """
    return user_agent.startswith("Mozilla/")
