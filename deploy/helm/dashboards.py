"""Make the Grafana dashboards: `python deploy/helm/dashboards.py` writes them, `--check` only compares.

A panel is its title, its unit and its queries; everything else is the same for all.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

FOLDER: Final = Path(__file__).parent / "attrikit" / "files" / "dashboards"
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_COLUMNS, _WIDTH, _HEIGHT = 3, 8, 8
_HERE: Final = 'namespace=~"$namespace"'


class Panel(NamedTuple):
    title: str
    unit: str
    queries: dict[str, str]
    """Query by the legend of its lines; `HERE` stands for the chosen namespace."""


def _quantiles(metric: str, by: str = "") -> dict[str, str]:
    labels, legend = (f", {by}", f"{{{{{by}}}}} ") if by else ("", "")
    buckets = f"sum by (le{labels}) (rate({metric}_bucket{{HERE}}[$__rate_interval]))"
    return {f"{legend}p{q}": f"histogram_quantile(0.{q}, {buckets})" for q in (50, 99)}


def _rate(metric: str, by: str, where: str = "") -> dict[str, str]:
    matched = f"HERE,{where}" if where else "HERE"
    return {f"{{{{{by}}}}}": f"sum by ({by}) (rate({metric}{{{matched}}}[$__rate_interval]))"}


PIPELINE: Final = (
    Panel(
        "Events through the stream",
        "cps",
        {"events": "sum(rate(attrikit_stream_events_total{HERE}[$__rate_interval]))"},
    ),
    Panel(
        "Stream behind, event time",
        "s",
        {"{{partition}}": "max by (partition) (attrikit_stream_watermark_age_seconds{HERE})"},
    ),
    Panel(
        "Stream behind, messages", "short", {"{{partition}}": "max by (partition) (attrikit_stream_lag_messages{HERE})"}
    ),
    Panel("Partitions of each worker", "short", {"{{instance}}": "attrikit_stream_partitions_assigned{HERE}"}),
    Panel("Flush of a group", "s", _quantiles("attrikit_stream_flush_seconds")),
    Panel("Persons in memory", "short", {"{{instance}}": "sum by (instance) (attrikit_stream_live_persons{HERE})"}),
    Panel("Rows written by the stream", "cps", _rate("attrikit_stream_rows_total", "topic")),
    Panel("Late and duplicate", "cps", _rate("attrikit_stream_marks_total", "mark")),
    Panel(
        "Put aside",
        "cps",
        {
            "unreadable": "sum(rate(attrikit_stream_rejected_total{HERE}[$__rate_interval]))",
            "failures of the domain": "sum(rate(attrikit_stream_domain_failures_total{HERE}[$__rate_interval]))",
        },
    ),
    Panel("Rows loaded", "cps", _rate("attrikit_loader_rows_total", "table")),
    Panel("Produced to readable", "s", _quantiles("attrikit_loader_delay_seconds")),
    Panel("Insert of a block", "s", _quantiles("attrikit_loader_insert_seconds")),
    Panel("Loader behind, messages", "short", {"{{topic}}": "sum by (topic) (attrikit_loader_lag_messages{HERE})"}),
    Panel("Inserts tried again", "cps", _rate("attrikit_loader_retries_total", "table")),
    Panel(
        "Memory of each process", "bytes", {"{{job}} {{instance}}": 'process_resident_memory_bytes{HERE,job=~"$job"}'}
    ),
)
API: Final = (
    Panel("Gateway, requests", "reqps", _rate("attrikit_gateway_requests_total", "status")),
    Panel("Gateway, time of a request", "s", _quantiles("attrikit_gateway_request_seconds")),
    Panel("Gateway, errors by code", "cps", _rate("attrikit_gateway_errors_total", "code")),
    Panel("Events by outcome", "cps", _rate("attrikit_gateway_events_total", "outcome")),
    Panel("Refused events by code", "cps", _rate("attrikit_gateway_rejected_events_total", "code")),
    Panel("Kafka's acknowledgement", "s", _quantiles("attrikit_gateway_publish_seconds")),
    Panel("Waiting for Kafka", "bytes", {"{{instance}}": "attrikit_gateway_in_flight_bytes{HERE}"}),
    Panel("Not acknowledged", "cps", _rate("attrikit_gateway_publish_failures_total", "reason")),
    Panel("Connections ended", "cps", _rate("attrikit_http_connections_ended_total", "reason")),
    Panel("Reads", "reqps", _rate("attrikit_http_requests_total", "status", 'service="query"')),
    Panel("Reads, time by route", "s", _quantiles("attrikit_http_request_seconds", "route")),
    Panel("Refused by plan", "cps", _rate("attrikit_quota_refused_requests_total", "plan")),
)
APPS: Final = (
    Panel("Accepted, duplicate and refused events", "cps", _rate("attrikit_gateway_events_total", "outcome")),
    Panel(
        "Share of refused events",
        "percentunit",
        {
            "refused": "sum(rate(attrikit_gateway_rejected_events_total{HERE}[$__rate_interval]))"
            " / sum(rate(attrikit_gateway_events_total{HERE}[$__rate_interval]))"
        },
    ),
    Panel("Sessions, conversions and credits", "cps", _rate("attrikit_stream_rows_total", "topic")),
    Panel("Webhooks, facts", "cps", _rate("attrikit_webhook_facts_total", "event_type")),
    Panel("Webhooks, attempts by outcome", "cps", _rate("attrikit_webhook_attempts_total", "outcome")),
    Panel("Webhooks, delay", "s", _quantiles("attrikit_webhook_delay_seconds")),
    Panel("Webhooks, waiting", "short", {"{{topic}}": "sum by (topic) (attrikit_webhook_lag{HERE})"}),
    Panel("Endpoints that fail", "short", {"open circuits": "sum(attrikit_webhook_open_circuits{HERE})"}),
    Panel(
        "Endpoints disabled",
        "short",
        {"{{reason}}": "sum by (reason) (increase(attrikit_webhook_endpoints_disabled_total{HERE}[1d]))"},
    ),
    Panel("Alerts sent", "cps", _rate("attrikit_alerts_sent_total", "state")),
    Panel(
        "Alert windows measured", "cps", {"windows": "sum(rate(attrikit_alerts_windows_total{HERE}[$__rate_interval]))"}
    ),
    Panel(
        "Age of apps, keys and rules",
        "s",
        {"{{job}}": "max by (job) (attrikit_control_plane_snapshot_age_seconds{HERE})"},
    ),
)
DASHBOARDS: Final = {"pipeline": PIPELINE, "api": API, "apps": APPS}


def dashboard(name: str, panels: Iterable[Panel]) -> dict[str, Any]:
    return {
        "uid": f"attrikit-{name}",
        "title": f"AttriKit {name if name != 'api' else 'API'}",
        "tags": ["attrikit"],
        "schemaVersion": 41,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_source(), _choice("namespace", "up"), _choice("job", "up")]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"}


def _choice(label: str, metric: str) -> dict[str, Any]:
    """A variable with the values of a label. `.*` for all, so that series without the label are shown too."""
    return {
        "name": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": f"label_values({metric}, {label})",
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    targets = [
        {"refId": chr(65 + place), "datasource": _SOURCE, "expr": query.replace("HERE", _HERE), "legendFormat": legend}
        for place, (legend, query) in enumerate(panel.queries.items())
    ]
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 10}}, "overrides": []},
        "options": {"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": targets,
    }


def texts() -> dict[Path, str]:
    """Return the text of each dashboard's file."""
    return {
        FOLDER / f"{name}.json": json.dumps(dashboard(name, panels), indent=1) + "\n"
        for name, panels in DASHBOARDS.items()
    }


def main(arguments: list[str]) -> int:
    if "--check" in arguments:
        stale = [path.name for path, text in texts().items() if not path.exists() or path.read_text() != text]
        print("stale:" if stale else "the dashboards are up to date", *stale)
        return bool(stale)
    for path, text in texts().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
