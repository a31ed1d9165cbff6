"""Uses the generated Python client `attrikit_client` against a served API: `use_python_client.py URL KEY`.

Prints what it was answered, as JSON. Runs in the generator's own virtual environment.
"""

import json
import sys

from attrikit_client import AuthenticatedClient
from attrikit_client.api.attribution import get_attribution
from attrikit_client.api.events import list_events, track_batch, track_event, validate_events
from attrikit_client.api.reports import get_conversion_report, get_performance
from attrikit_client.models import Batch, Event


def event(number: int) -> Event:
    properties = {"revenue": 19.9, "tags": ["a", None, {"deep": [1, True]}]}
    return Event.from_dict({"event_name": "purchase", "event_id": f"client-{number}", "properties": properties})


def main(url: str, key: str) -> dict[str, object]:
    with AuthenticatedClient(base_url=url, token=key) as client:
        tracked = track_event.sync(client=client, body=event(1))
        batch = track_batch.sync(client=client, body=Batch([event(2), event(3)]))
        checked = validate_events.sync(client=client, body=event(4))
        events = list_events.sync(client=client, limit=3)
        performance = get_performance.sync(client=client)
        conversion = get_conversion_report.sync(client=client)
        funnel = get_conversion_report.sync(client=client, steps=["page_view", "purchase"])
        attribution = get_attribution.sync(client=client)
        refused = list_events.sync(client=client, limit=0)
    return {
        "event_id": tracked.data.event_id,
        "accepted": batch.data.accepted,
        "statuses": [result.status for result in batch.data.results],
        "is_valid": checked.data.valid,
        "event_names": [found.event_name for found in events.data.items],
        "totals": performance.data.totals.to_dict(),
        "conversion_rows": len(conversion.data.items),
        "funnel_hours": funnel.data.funnel.within_hours,
        "attribution_rows": len(attribution.data.items),
        "refused": refused.error.code,
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:]), default=str))
