"""Refused events: in groups of those that are alike, mended, tried, and sent again by the gateway's own way."""

import asyncio
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response

from pipeline.control import InvalidRecord
from pipeline.control.audit import read_entries, write_entry
from pipeline.domain.rejected_replay import Tally
from services.console import setting_words
from services.console.mends import Mend, likely_mend, mend_of, mending_of
from services.console.page import Page
from services.console.pages.validate import VALIDATE
from services.console.report_page import render_report, report_filters, today_of
from services.console.visitor import Form, OfApp, Refused, field
from services.web.envelope import encode_json

router = APIRouter()
DAYS: Final = 28
MOST_SENT: Final = 2_000
"""Events that one form sends again; the older ones are the next form's."""
_STEP: Final = 250
_BATCH: Final = "/v1/events/batch"
_ACTION: Final = "rejected.replay"
_LIMIT: Final = 50
_SAMPLES: Final = 3
GROUP: Final = ("code", "field", "reason", "event_name")
_MEND: Final = ("new_name", "from_path", "to_path", "drop")


@router.get("/apps/{app_id}/rejected")
async def show_rejected(page: OfApp) -> Response:
    given = page.request.query_params
    asked = {name: given.get(name) for name in ("code", "field", "cursor")} | {"limit": _LIMIT}
    start = today_of(page) - timedelta(days=DAYS - 1)
    found, grouped = await asyncio.gather(
        page.read("/v1/events/rejected", asked), page.read("/console/rejected/groups", {"from": start.isoformat()})
    )
    groups = [(one, _address(page, one), likely_mend(one, "")) for one in grouped["items"]]
    values = {"found": found, "groups": groups, "days": DAYS}
    return render_report(
        page, "rejected.html", report_filters(page), found["meta"], ("/v1/events/rejected", asked), **values
    )


@router.get("/apps/{app_id}/rejected/mend")
async def show_mend(page: OfApp) -> Response:
    """Show a group, which the address names, with its likely mend."""
    group = _group(page)
    samples = await _samples(page, group)
    if not samples:
        raise Refused(404)
    mend = likely_mend(group | {"about": group["field"]}, samples[0]["payload"])
    return await _mend_page(page, group, mend, samples)


@router.post("/apps/{app_id}/rejected/mend")
async def mend_rejected(page: OfApp, fields: Form) -> Response:
    """Try how many of a group the gateway would accept with a mend (`do=check`), or send them again."""
    group = _group(page)
    given = {name: field(fields, name) for name in _MEND}
    samples = await _samples(page, group)
    try:
        mend = mend_of(given)
    except InvalidRecord as error:
        return await _mend_page(page, group, Mend("", **given), samples, 400, problem=page.told(error))
    is_sent, cursor = field(fields, "do") == "send", field(fields, "cursor")
    tally, further = await _send_again(page, group, mend, cursor, is_sent)
    if is_sent:
        counts = {"found": tally.found, "accepted": tally.sent, "refused": tally.refused.total()}
        entry = page.entry(_ACTION, _target(group), after={"group": group, "mend": given} | counts)
        await asyncio.to_thread(write_entry, page.console.dsn, entry)
    return await _mend_page(
        page, group, mend, samples, tally=tally, is_sent=is_sent, cursor=cursor, further=further or ""
    )


async def _send_again(
    page: Page, group: dict[str, str], mend: Mend, cursor: str, is_sent: bool
) -> tuple[Tally, str | None]:
    """Send the newest of a group from the cursor on, at most `MOST_SENT`; return their counts and the next cursor.

    They are checked first, and only those that pass are sent: a second refusal would be recorded as one more. Twice is
    as good as once: an event has the same id each time.
    """
    tally, at = Tally(), cursor or None
    while tally.found < MOST_SENT:
        found = await page.read("/console/rejected", group | {"limit": _STEP, "cursor": at})
        items = found["items"]
        ready = tally.ready(items, mending_of(mend, group["event_name"], items))
        if ready:
            good = tally.good(ready, (await page.report(VALIDATE, encode_json({"events": ready})))["errors"])
            if not is_sent:
                tally.sent += len(good)
            elif good:
                tally.take((await page.report(_BATCH, encode_json({"events": good})))["results"])
        at = found["next_cursor"]
        if at is None:
            break
    return tally, at


async def _samples(page: Page, group: dict[str, str]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await page.read("/console/rejected", group | {"limit": _SAMPLES}))["items"]
    return items


async def _mend_page(
    page: Page,
    group: dict[str, str],
    mend: Mend,
    samples: list[dict[str, Any]],
    status: int = 200,
    *,
    problem: str = "",
    tally: Tally | None = None,
    is_sent: bool = False,
    cursor: str = "",
    further: str = "",
) -> Response:
    """`further`: cursor of the older events, which were not looked at."""
    entries = await asyncio.to_thread(read_entries, page.console.dsn, page.app_id)
    values: dict[str, Any] = {
        "group": group,
        "mend": mend,
        "samples": samples,
        "problem": problem,
        "tally": tally,
        "is_sent": is_sent,
        "cursor": cursor,
        "further": further,
        "most": MOST_SENT,
        "sent_before": [one for one in entries if (one["action"], one["target"]) == (_ACTION, _target(group))],
        "words": setting_words,
    }
    return page.render("rejected_mend.html", status, **values)


def _group(page: Page) -> dict[str, str]:
    """Return the group that the page's address names."""
    return {name: page.request.query_params.get(name, "") for name in GROUP}


def _target(group: dict[str, str]) -> str:
    return " ".join(filter(None, (group["code"], group["field"], group["event_name"])))[:200]


def _address(page: Page, group: dict[str, Any]) -> str:
    values = group | {"field": group["about"]}
    return page.url("rejected/mend?" + urlencode({name: values[name] for name in GROUP if values[name]}))
