"""Our hosts against public lists of search engines, social networks and assistants (matomo-org's, CC0), where the
shared data has them. Most engines of that list are gone; what matters is that none is taken for something it is not."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from pipeline.domain.channels.classify import classify_arrival

LISTS = Path(__file__).parents[5] / "shared" / "data" / "referrers"
PAGE = "https://shop.example/"
CASES = [
    # list, our channel, least share of its hosts known, what else they may be
    ("SearchEngines.yml", "organic_search", 0.25, {"referral", "organic_social", "ai_assistant"}),
    ("Socials.yml", "organic_social", 0.55, {"referral", "direct"}),
    ("AIAssistants.yml", "ai_assistant", 0.75, {"referral", "organic_social"}),
]
OTHERS_AT_MOST = 8
"""Hosts of a list taken for something else than its own channel or a plain site: Tieba, Facebook and ChatGPT stand in
the list of search engines, sign-in pages of WeChat and Microsoft in that of networks."""


def hosts_of(name: str) -> list[str]:
    path = LISTS / name
    if not path.exists():
        pytest.skip(f"no shared data at {path.parent.name}/{name}")
    found: list[str] = []
    for entry in yaml.safe_load(path.read_text()).values():
        for item in entry:
            found += item["urls"] if isinstance(item, dict) else [item]
    return [host.replace("{}", "com") for host in found]


@pytest.mark.parametrize(("name", "channel", "least", "others"), CASES)
def test_public_lists(name: str, channel: str, least: float, others: set[str]) -> None:
    hosts = hosts_of(name)
    found = Counter(classify_arrival(PAGE, f"https://{host}/", ("", "", "")).channel for host in hosts)
    share = found[channel] / len(hosts)
    print(f"\n{name}: {share:.0%} of {len(hosts)} hosts known as {channel}; {dict(found)}")
    assert share >= least
    assert found.keys() <= others | {channel}
    assert len(hosts) - found[channel] - found["referral"] <= OTHERS_AT_MOST
