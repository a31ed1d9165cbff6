"""Output of the demo: the report of all models side by side, the ledger, and the verdict."""

from decimal import Decimal
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from deploy.demo.generator import Truth
from deploy.demo.ledger import Check, Observed
from deploy.demo.poster import Posted
from schemas.facts import Model


def show_report(console: Console, report: dict[str, Any]) -> None:
    """Print the report, a line per channel: its traffic, and the conversions and value each model credits it with."""
    title = "Credited conversions, and below them credited value in CNY, under each model"
    table = Table(title=title, box=SIMPLE, padding=0, pad_edge=False, show_edge=False)
    table.add_column("channel", no_wrap=True)
    for name in ("touches", "sessions", *Model):
        table.add_column(name.replace("_", " "), justify="right")
    for item in report["items"]:
        table.add_row(item["key"] or "-", *_cells(item))
    table.add_section()
    table.add_row("total", *_cells(report["totals"]), style="bold")
    console.print(table)


def _cells(numbers: dict[str, Any]) -> list[str]:
    credits = [numbers["models"][model] for model in Model]
    return [
        f"{numbers['touches']:,}",
        f"{numbers['sessions']:,}",
        *(f"{_short(c['credited_conversions'], 1)}\n{_short(c['credited_value'], 0)}" for c in credits),
    ]


def _short(number: Any, digits: int) -> str:
    return f"{Decimal(number):,.{digits}f}"


def show_ledger(console: Console, truth: Truth, posted: Posted, observed: Observed) -> None:
    table = Table("", "events", title="Ledger", box=SIMPLE)
    table.columns[1].justify = "right"
    for name, count in _lines(truth, posted, observed):
        table.add_row(name, f"{count:,}")
    console.print(table)


def _lines(truth: Truth, posted: Posted, observed: Observed) -> list[tuple[str, int]]:
    return [
        ("sent", truth.sent),
        ("accepted", posted.accepted),
        ("repeats recognised at once (in one request)", posted.duplicates),
        ("rejected", posted.rejected.total()),
        *((f"  {code}", count) for code, count in sorted(posted.rejected.items())),
        ("requests", posted.requests),
        ("requests sent again for want of an answer", posted.retries),
        ("in the topic", observed.topic_lines),
        ("stored", observed.stored),
        ("duplicates, recognised by the stream", observed.duplicates),
        ("late (stored, not counted into sessions or credits)", observed.late),
        ("conversions", observed.conversions.total()),
        *((f"  {goal}", count) for goal, count in sorted(observed.conversions.items())),
    ]


def show_checks(console: Console, found: list[Check]) -> None:
    for check in found:
        mark, why = ("ok", "") if check.holds else ("NO", f": expected {check.expected}, found {check.found}")
        console.print(f"  {mark}  {check.name}{why}", style="" if check.holds else "red", markup=False, soft_wrap=True)
