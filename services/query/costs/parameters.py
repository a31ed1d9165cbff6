"""Query parameters of costs, parsed into `CostFilter`. Pure."""

from schemas.control import App
from services.query.core.parameters import ListParameters, range_of, zone_of
from services.query.costs.statements import CostFilter


class CostsParameters(ListParameters):
    """Parameters of costs: `from` and `to` are about the dates of the costs."""


def cost_filter(given: CostsParameters, app: App) -> CostFilter:
    return CostFilter(zone_of(given, app), range_of(given, app))
