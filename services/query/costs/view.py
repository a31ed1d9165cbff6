"""Rows of costs as answers; their dates belong to no zone. Pure."""

from services.query.core.numbers import money
from services.query.costs.answers import Cost
from services.query.costs.statements import StandingCost


def cost_of(row: StandingCost, _zone: str) -> Cost:
    return {
        "date": row.date.isoformat(),
        "channel": row.channel,
        "campaign": row.campaign or None,
        "source": row.source or None,
        "cost": money(row.cost_minor, row.currency),
        "currency": row.currency,
    }
