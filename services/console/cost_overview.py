"""Imported costs by source: sums, the last day, and the days that are missing. Pure."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any


@dataclass
class SourceCosts:
    """Costs of one source; its name is empty where costs name none."""

    source: str
    days: set[date] = field(default_factory=set)
    sums: dict[str, Decimal] = field(default_factory=dict)
    """Currency → sum."""
    gaps: list[tuple[date, date]] = field(default_factory=list)
    """(first, last) of the days without costs, since its first day with some."""


def by_source(items: Iterable[dict[str, Any]], yesterday: date) -> list[SourceCosts]:
    """Sum up items of the API's list of costs, by source. `yesterday`: the last day that ought to be there."""
    found: dict[str, SourceCosts] = {}
    for item in items:
        source = found.setdefault(item["source"] or "", SourceCosts(item["source"] or ""))
        source.days.add(date.fromisoformat(item["date"]))
        currency = item["currency"]
        source.sums[currency] = source.sums.get(currency, Decimal(0)) + Decimal(item["cost"])
    for source in found.values():
        source.gaps = gaps_of(source.days, yesterday)
    return [found[name] for name in sorted(found)]


def gaps_of(days: set[date], last: date) -> list[tuple[date, date]]:
    """Return the ranges of days without one of `days`, after the first of them and up to `last`."""
    gaps: list[tuple[date, date]] = []
    present = [*sorted(days), last + timedelta(days=1)]
    for before, after in itertools.pairwise(present):
        if after - before > timedelta(days=1):
            gaps.append((before + timedelta(days=1), after - timedelta(days=1)))
    return gaps
