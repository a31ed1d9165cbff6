"""Alerts, runbooks and dashboards name what there is: metrics of the product with their labels, pages, commands."""

import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from prometheus_client import REGISTRY

from deploy.cli.main import app
from deploy.signals_document import metrics

DEPLOY = Path(__file__).parents[4] / "deploy"
CHART = DEPLOY / "helm" / "attrikit"
RULES = [
    rule for group in yaml.safe_load((CHART / "files" / "rules.yaml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
QUERIES = {rule["alert"]: rule["expr"] for rule in RULES} | {
    f"{path.stem}: {panel['title']} ({target['legendFormat']})": target["expr"]
    for path in DASHBOARDS
    for panel in json.loads(path.read_text())["panels"]
    for target in panel["targets"]
}
SCRAPE_LABELS = {"namespace", "job", "instance", "pod"}
ELSEWHERE = {
    "up": SCRAPE_LABELS,
    "kube_job_status_failed": {"namespace", "job_name"},
    "kubelet_volume_stats_used_bytes": {"namespace", "persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"namespace", "persistentvolumeclaim"},
}
"""Metrics of Prometheus, kube-state-metrics and the kubelet."""
_NAME = re.compile(r"\b(?:[a-z]\w*(?=[{\[])|attrikit_\w+|kube\w+_\w+)")


def _series() -> dict[str, set[str]]:
    """Labels by the name of each series that the processes expose."""
    found: dict[str, set[str]] = {}
    assert metrics()  # registers them
    for collector in list(REGISTRY._collector_to_names):
        labels = set(getattr(collector, "_labelnames", ())) | SCRAPE_LABELS
        for name in REGISTRY._collector_to_names[collector]:
            found[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    return found | ELSEWHERE


SERIES = _series()


def _metrics(query: str) -> set[str]:
    return set(_NAME.findall(query))


def test_there_are_queries() -> None:
    assert len(RULES) > 15
    assert [path.stem for path in DASHBOARDS] == ["api", "apps", "pipeline"]


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_names_metrics_and_labels_that_exist(name: str) -> None:
    query = QUERIES[name]
    used = _metrics(query)
    assert used, query
    assert used <= set(SERIES), used - set(SERIES)
    labels = set().union(*(SERIES[metric] for metric in used))
    named = {label.strip() for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", query) for label in group.split(",")}
    named |= set(re.findall(r'[{,]\s*(\w+)\s*(?:=~|!~|!=|=)"', query))
    assert named <= labels, named - labels


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_has_a_runbook_and_a_severity(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    page = rule["annotations"]["runbook_url"].rpartition("/")[2]
    assert page == rule["alert"]
    text = (DEPLOY / "runbooks" / f"{page}.md").read_text()
    assert all(part in text for part in (f"# {page}", "**What.**", "**Effect.**", "**What to do.**"))


def test_every_runbook_is_of_an_alert() -> None:
    assert {path.stem for path in (DEPLOY / "runbooks").glob("*.md")} == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("path", sorted((DEPLOY / "runbooks").glob("*.md")), ids=lambda path: path.stem)
def test_runbooks_name_commands_and_metrics_that_exist(path: Path) -> None:
    for code in re.findall(r"`([^`…]+)", path.read_text()):
        if code.startswith("attrikit_"):
            assert code in SERIES, code
        if code.startswith("attrikit "):
            words = shlex.split(code)[1:]
            found: Any = typer.main.get_command(app)
            while hasattr(found, "commands") and words:
                assert words[0] in found.commands, code
                found = found.commands[words.pop(0)]


def test_the_dashboards_are_what_their_source_makes() -> None:
    made = runpy.run_path(str(DEPLOY / "helm" / "dashboards.py"))["texts"]()
    assert {path: path.read_text() for path in made} == made
