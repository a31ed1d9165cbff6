"""SIGNALS.md names every metric and every event of the logs, and is what the command prints."""

import ast
from pathlib import Path

from deploy.signals_document import METRIC_MODULES, document, metrics

ROOT = Path(__file__).parents[3]
KINDS = {"Counter", "Gauge", "Histogram", "Metric", "Summary"}
"""What constructors of metrics are called; `Metric` where `Counter` is taken."""


def declares_metrics(path: Path) -> bool:
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call) and node.args)
    return any(
        isinstance(call.func, ast.Name)
        and call.func.id in KINDS
        and isinstance(call.args[0], ast.Constant)
        and str(call.args[0].value).startswith("attrikit_")
        for call in calls
    )


def test_the_page_is_what_the_command_prints() -> None:
    assert (ROOT / "SIGNALS.md").read_text() == document()


def test_every_module_with_metrics_is_in_the_list() -> None:
    found = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in ("schemas", "pipeline", "services", "deploy")
        for path in (ROOT / folder).rglob("*.py")
        if "node_modules" not in path.parts and declares_metrics(path)
    }
    assert found == set(METRIC_MODULES)


def test_a_metric_has_a_name_of_ours_and_a_sentence() -> None:
    families = [family for metric in metrics() for family in metric.describe()]
    assert len(families) > 50
    assert all(family.name.startswith("attrikit_") and family.documentation[0].isupper() for family in families)
