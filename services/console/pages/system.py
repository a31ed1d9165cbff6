"""System: whether accepted = stored + duplicates, how far everything is, what the tables hold. For admins."""

import asyncio
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from pipeline.runtime.clock import now_ms
from services.console.reading import ReadFailed
from services.console.visitor import AdminPage

router = APIRouter()
_HOURS: Final = 24
_HOUR_US: Final = 3_600_000_000
_SETTLES_US: Final = 120_000_000
"""What was received in the last two minutes may still be on its way."""


@router.get("/system")
async def show_system(page: AdminPage) -> Response:
    through_us = now_ms() * 1000 - _SETTLES_US
    # Counts are by whole hours of receipt, on both sides.
    from_us = (through_us // _HOUR_US - _HOURS) * _HOUR_US
    api = page.console.api
    state, counts = await asyncio.gather(
        _or_none(api.operator("/operator/store")),
        _or_none(api.operator(f"/operator/ledger?from_us={from_us}&through_us={through_us}")),
    )
    values = {
        "state": state,
        "ledger": None if counts is None else balance_of(counts),
        "hours": _HOURS,
        "version": version("attrikit"),
        "snapshot_seconds": page.console.snapshots.age_seconds(),
        "applied": [one["number"] for one in state["migrations"]] if state else [],
    }
    return page.render("system.html", 200 if state else 503, **values)


async def _or_none(reading: Any) -> Any:
    try:
        return await reading
    except ReadFailed:
        return None


def balance_of(counts: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the account of each app: what gateways acknowledged beside what is stored and what were repeats. `attrikit
    ledger` compares by hour and partition, with the topics as a third witness."""
    app_ids = sorted({row["app_id"] for name in ("acknowledged", "stored") for row in counts[name]})
    found = []
    for app_id in app_ids:
        sums = {name: sum(row["count"] for row in rows if row["app_id"] == app_id) for name, rows in counts.items()}
        missing = sums["acknowledged"] - sums["stored"] - sums["duplicates"]
        kept = ("acknowledged", "stored", "duplicates", "rejected", "late")
        found.append({"app_id": app_id, "missing": missing, **{name: sums.get(name, 0) for name in kept}})
    return found
