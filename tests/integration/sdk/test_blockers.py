"""The names the SDK and its gateway ship pass the filter lists of ad blockers: EasyList and EasyPrivacy.

The whole lists are those Debian packages with uBlock Origin (`tests/install_tools.sh`), or `easylist.txt` and
`easyprivacy.txt` in the folder `ATTRIKIT_TEST_FILTER_LISTS`. Some of their rules stand beside this file.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from node import install_packages, node_is_missing, run_node
from sdk_server import VERSION

pytestmark = pytest.mark.skipif(bool(node_is_missing()), reason=node_is_missing())

PROGRAM = Path(__file__).parents[2] / "support" / "blocked_requests.mjs"
EXCERPT = Path(__file__).parent / "filter_rules.txt"
NAMES = ("easylist.txt", "easyprivacy.txt")
PACKAGED = "usr/share/mozilla/extensions/*/uBlock0@raymondhill.net/assets/thirdparties/easylist"
PAGE = "https://www.shop.example/products/7"
OWN_HOSTS = ("shop.example", "www.shop.example", "events.shop.example", "e.shop.example")
REQUESTS = (
    *(("script", f"/sdk/{version}/attrikit.{kind}.js") for version in ("latest", VERSION) for kind in ("min", "esm")),
    *((kind, f"/v1/events/{end}?app_id=shop") for kind in ("fetch", "ping") for end in ("batch", "track")),
    ("fetch", "/v1/visitor?app_id=shop"),
    ("fetch", "/api/events?app_id=shop"),
)


@pytest.fixture(scope="module", params=["excerpt", "whole"])
def lists(request: pytest.FixtureRequest) -> list[Path]:
    if missing := install_packages():
        pytest.skip(missing)
    if request.param == "excerpt":
        return [EXCERPT]
    given = os.environ.get("ATTRIKIT_TEST_FILTER_LISTS")
    folder = Path(given) if given else next(Path("/").glob(PACKAGED), None)
    if folder is None:
        pytest.skip("no EasyList here (Debian's webext-ublock-origin-firefox, or ATTRIKIT_TEST_FILTER_LISTS)")
    return [folder / name for name in NAMES]


def blocked(tmp_path: Path, lists: list[Path], requests: list[tuple[str, str]]) -> dict[str, str]:
    """Return the requests (kind, URL) that the lists block on a page of the shop, with the rule that does."""
    found: list[dict[str, Any]] = [{"url": url, "sourceUrl": PAGE, "type": kind} for kind, url in requests]
    given = tmp_path / "requests.json"
    given.write_text(json.dumps(found))
    ended = run_node(PROGRAM, given, *lists)
    assert ended.returncode == 0, ended.stderr
    rules = json.loads(ended.stdout)
    return {f"{kind} {url}": rule for (kind, url), rule in zip(requests, rules, strict=True) if rule}


def test_the_shipped_names_pass_on_hosts_of_the_site(tmp_path: Path, lists: list[Path]) -> None:
    requests = [(kind, f"https://{host}{path}") for host in OWN_HOSTS for kind, path in REQUESTS]
    assert blocked(tmp_path, lists, requests) == {}


def test_on_another_site_all_but_beacons_pass(tmp_path: Path, lists: list[Path]) -> None:
    """So `fetch` with `keepalive` goes first and a beacon second."""
    requests = [(kind, f"https://gateway.other.example{path}") for kind, path in REQUESTS]
    found = blocked(tmp_path, lists, requests)
    assert {name.partition(" ")[0] for name in found} == {"ping"}
    assert len(found) == 2


def test_hosts_called_analytics_or_stats_are_blocked_as_documented(tmp_path: Path, lists: list[Path]) -> None:
    requests = [
        ("fetch", f"https://{name}.shop.example/v1/events/batch?app_id=shop") for name in ("analytics", "stats")
    ]
    assert len(blocked(tmp_path, lists, requests)) == 2
