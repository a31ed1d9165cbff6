"""The document of what the processes tell: SIGNALS.md, of their metrics and of the events of their logs.

`attrikit signals` prints it; a test keeps the file of the repository up to date.
"""

from importlib import import_module
from typing import Final

from prometheus_client.metrics import MetricWrapperBase

from pipeline.runtime.log_events import LOG_EVENTS

METRIC_MODULES: Final = (
    "pipeline.control.snapshot",
    "pipeline.runtime.traces.metrics",
    "pipeline.stream.metrics",
    "services.alerts.app",
    "services.gateway.metrics",
    "services.loader.metrics",
    "services.web.client_disconnect",
    "services.web.middleware",
    "services.web.quota.counters",
    "services.web.quota.gate",
    "services.web.server",
    "services.webhooks.metrics",
)
"""Modules that declare metrics, each metric once."""
_HEAD: Final = """# Signals

What the processes tell: metrics at `/metrics`, and lines of the log on standard error (JSON where that is no terminal).
This page is made by `attrikit signals`. The rules and dashboards over them are in [deploy/](deploy/README.md).
"""
_METRICS: Final = "## Metrics\n\n| name | kind | labels | what it counts |\n|---|---|---|---|"
_EVENTS: Final = (
    "## Events of the log\n\nThe field `event` of a line. What is tried again says so with every attempt "
    "(`reason`, `retry_in_seconds`).\n\n| event | what it tells |\n|---|---|"
)


def document() -> str:
    """Return SIGNALS.md."""
    events = [f"| `{name}` | {words} |" for name, words in sorted(LOG_EVENTS.items())]
    return "\n".join([_HEAD, _METRICS, *sorted(map(_row, metrics())), "", _EVENTS, *events, ""])


def metrics() -> list[MetricWrapperBase]:
    """Return all metrics of the product, but not what a module holds of one for a label."""
    found: dict[str, MetricWrapperBase] = {}
    for module in METRIC_MODULES:
        for value in vars(import_module(module)).values():
            if isinstance(value, MetricWrapperBase):
                found.setdefault(next(iter(value.describe())).name, value)
    return list(found.values())


def _row(metric: MetricWrapperBase) -> str:
    (family,) = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 - there is no other way to them
    return f"| `{name}` | {family.type} | {labels} | {family.documentation} |"
