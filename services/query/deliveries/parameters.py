"""Query parameters of webhook deliveries, parsed into `DeliveryFilter`. Pure."""

from typing import Annotated

from pydantic import Field

from schemas.control import App
from schemas.webhooks import EventType, Outcome
from services.query.core.parameters import ListParameters, RowId, range_of
from services.query.deliveries.statements import DeliveryFilter


class DeliveriesParameters(ListParameters):
    """Parameters of deliveries: `from` and `to` are about when the fact was written (`created_at`)."""

    endpoint_id: RowId | None = Field(None, examples=["whe_0f8fad5bd9cb"])
    type: Annotated[tuple[EventType, ...], Field(max_length=10)] = Field(
        (), description="May be repeated: any of them.", examples=[["conversion.created"]]
    )
    status: Annotated[tuple[Outcome, ...], Field(max_length=10)] = Field(
        (), description="May be repeated: any of them.", examples=[["failed"]]
    )


def delivery_filter(given: DeliveriesParameters, app: App) -> DeliveryFilter:
    return DeliveryFilter(given.endpoint_id, tuple(given.type), tuple(given.status), range_of(given, app))
