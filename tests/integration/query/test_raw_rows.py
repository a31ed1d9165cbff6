"""Every number of the reports against polars over the raw rows, on a month of the demo's traffic and on an access log.

The rows are what a plain batch computation derives (`reference`), so nothing here has been through our own stream.
"""

import os
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import polars as pl
import pytest
from access_log import DAY_MS, read_page_views
from query_world import FIRST_MS
from reference import Truth, compute, owners_of

from deploy.demo.journeys import visitors
from pipeline.runtime.clickhouse import ClickHouse
from schemas.control import DEFAULT_GOALS, App
from schemas.events import AcceptedEvent, StreamEvent
from schemas.facts import Model, encode_rows

ACCESS_LOG = Path(os.environ.get("ATTRIKIT_ACCESS_LOG") or Path(__file__).parents[4] / "shared" / "data" / "access.log")
EVENTS = 4_000
ZONE = "Asia/Shanghai"


def demo_events() -> list[AcceptedEvent]:
    found: list[AcceptedEvent] = []
    for journey in visitors(Random(7), FIRST_MS, FIRST_MS + 30 * DAY_MS):
        found += [accepted("demo", event.time_ms, event.body) for event in journey]
        if len(found) >= EVENTS:
            return found
    return found


def log_events() -> list[AcceptedEvent]:
    if not ACCESS_LOG.exists():
        pytest.skip(f"no {ACCESS_LOG.name}")
    views = read_page_views(ACCESS_LOG, FIRST_MS + 20 * DAY_MS)
    return [accepted("log", view.timestamp_ms, view.body()) for view in views]


def accepted(app_id: str, time_ms: int, body: dict[str, Any]) -> AcceptedEvent:
    context = body["context"]
    page, campaign = context.get("page", {}), context.get("campaign", {})
    return AcceptedEvent(
        app_id=app_id,
        event_id=body["event_id"],
        event_name=body["event_name"],
        timestamp_ms=time_ms,
        received_us=time_ms * 1000,
        user_id=body.get("user_id", ""),
        anonymous_id=body.get("anonymous_id", ""),
        properties=msgspec.Raw(msgspec.json.encode(body["properties"])),
        page_url=page.get("url", ""),
        referrer=page.get("referrer", ""),
        campaign_source=campaign.get("source", ""),
        campaign_medium=campaign.get("medium", ""),
        campaign_name=campaign.get("name", ""),
    )


def derived(app_id: str, events: Iterable[AcceptedEvent]) -> Truth:
    names = StreamEvent.__struct_fields__
    read = [StreamEvent(**{name: getattr(event, name) for name in names}) for event in events]
    return compute(read, App(app_id, app_id, goals=DEFAULT_GOALS), owners=owners_of(read))


def with_credits(row: dict[str, Any]) -> dict[str, Any]:
    """Shares as whole numbers: rounded down, the rest to the last that has any."""
    shares: dict[str, list[Fraction]] = row["shares"]
    kept = {name: value for name, value in row.items() if name != "shares"}
    nanos = {model: whole(10**9, parts) for model, parts in shares.items()}
    minors = {model: whole(row["value_minor"], parts) for model, parts in shares.items()}
    return kept | {"credits_nanos": nanos, "values_minor": minors, "reason": "initial"}


def whole(total: int, shares: list[Fraction]) -> list[int]:
    parts = [int(total * share) for share in shares]
    parts[max(index for index, share in enumerate(shares) if share)] += total - sum(parts)
    return parts


class Facts:
    """The raw rows of one app as data frames."""

    def __init__(self, truth: Truth) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {
            "sessions": list(truth.sessions.values()),
            "touches": list(truth.touches.values()),
            "conversions": list(truth.conversions.values()),
            "attributions": [with_credits(row) for row in truth.attributions.values()],
        }
        self.sessions = self._frame("sessions", "start_ms")
        self.touches = self._frame("touches", "touched_at_ms")
        self.conversions = self._frame("conversions", "converted_at_ms")

    def _frame(self, name: str, time: str) -> pl.DataFrame:
        flat = [{key: value for key, value in row.items() if key != "values_minor"} for row in self.tables[name]]
        if not flat:
            return pl.DataFrame()
        local = pl.from_epoch(pl.col(time), "ms").dt.replace_time_zone("UTC").dt.convert_time_zone(ZONE)
        return pl.DataFrame(flat, infer_schema_length=None).with_columns(day=local.dt.strftime("%Y-%m-%d"))

    def credits(self) -> pl.DataFrame:
        """One row per conversion, touch and model."""
        return pl.DataFrame(
            [
                {"channel": channel, "source": source, "model": model, "credit": credit, "value": value}
                for row in self.tables["attributions"]
                for model in Model
                for channel, source, nanos in zip(
                    row["channels"], row["sources"], row["credits_nanos"][model], strict=True
                )
                for credit, value in [(nanos / 1e9, row["value_minor"] * nanos / 1e11)]
            ]
        )


async def load(clickhouse: ClickHouse, events: list[AcceptedEvent]) -> Facts:
    found = Facts(derived(events[0].app_id, events))
    await clickhouse.insert_ndjson("events", encode_rows(events))
    for table, rows in found.tables.items():
        if rows:
            await clickhouse.insert_ndjson(table, encode_rows([row | {"revision": 1} for row in rows]))
    return found


async def test_the_demos_traffic(ask: Any, facts: ClickHouse) -> None:
    events = demo_events()
    raw = await load(facts, events)
    assert raw.conversions.height > 50
    await check_visits(ask, "demo", raw)
    await check_conversions(ask, "demo", raw)
    await check_credits(ask, "demo", raw)


async def test_an_access_log(ask: Any, facts: ClickHouse) -> None:
    events = log_events()
    raw = await load(facts, events)
    assert raw.sessions.height > 100
    await check_visits(ask, "log", raw)
    totals = (await ask("reports/conversion", key="log"))["totals"]
    assert totals["conversions"] == 0


async def check_visits(ask: Any, app: str, raw: Facts) -> None:
    data = await ask("reports/performance", key=app, granularity="day", model="linear")
    sessions = raw.sessions.group_by("day", "channel").agg(
        pl.len().alias("sessions"), pl.col("person_key").n_unique().alias("users")
    )
    wanted = {(row["day"], row["channel"]): (row["sessions"], row["users"]) for row in sessions.to_dicts()}
    found = {
        (item["period"][:10], item["key"]): (item["sessions"], item["users"])
        for item in data["items"]
        if item["sessions"]
    }
    assert found == wanted
    touches = raw.touches.group_by("day", "channel").agg(
        pl.len().alias("touches"), (pl.col("touch_type") == "click").sum().alias("clicks")
    )
    wanted = {(row["day"], row["channel"]): (row["touches"], row["clicks"]) for row in touches.to_dicts()}
    assert of_days(data["items"], "touches", "clicks") == wanted
    assert data["totals"]["users"] == raw.sessions["person_key"].n_unique()
    assert data["totals"]["touches"] == raw.touches.height
    converted = (raw.sessions["conversions"] > 0).sum()
    assert data["totals"]["conversion_rate"] == round(Decimal(converted) / raw.sessions.height, 6)


def of_days(items: list[dict[str, Any]], *names: str) -> dict[tuple[str, str], tuple[int, ...]]:
    """Where there is any of the first."""
    return {(item["period"][:10], item["key"]): tuple(item[name] for name in names) for item in items if item[names[0]]}


async def check_conversions(ask: Any, app: str, raw: Facts) -> None:
    of_sessions = raw.conversions.join(raw.sessions.select("session_id", "channel"), on="session_id", how="left")
    wanted = of_sessions.group_by("channel").agg(
        pl.len().alias("conversions"), (pl.col("value_minor") - pl.col("refunded_minor")).sum().alias("minor")
    )
    data = await ask("reports/performance", key=app)
    found = {item["key"]: (item["conversions"], item["value"]) for item in data["items"] if item["conversions"]}
    assert found == {row["channel"]: (row["conversions"], Decimal(row["minor"]) / 100) for row in wanted.to_dicts()}
    report = await ask("reports/conversion", key=app)
    for item in report["items"]:
        rows = raw.conversions.filter(pl.col("goal") == item["goal"])
        assert item["conversions"] == rows.height
        assert item["users"] == rows["person_key"].n_unique()
        assert item["value"] == Decimal((rows["value_minor"] - rows["refunded_minor"]).sum()) / 100
        waits = [
            row["converted_at_ms"] - row["path_touched_at_ms"][0]
            for row in rows.to_dicts()
            if row["path_touched_at_ms"]
        ]
        for name, share in (("p50_seconds", 0.5), ("p90_seconds", 0.9)):
            expected = pl.Series(waits, dtype=pl.Int64).quantile(share, "linear")
            given = item["time_to_convert"][name]
            assert (given is None) == (expected is None)
            if given is not None:
                assert float(given) == pytest.approx(expected / 1000, abs=0.001)
        lengths = rows["path_channels"].list.len().value_counts()
        assert {length["touches"]: length["conversions"] for length in item["path_lengths"]} == dict(lengths.rows())


async def check_credits(ask: Any, app: str, raw: Facts) -> None:
    """And that the rows are near, and all totals agree to the smallest unit, under every model."""
    credits = raw.credits()
    net = Decimal((raw.conversions["value_minor"] - raw.conversions["refunded_minor"]).sum()) / 100
    for dimension in ("channel", "source"):
        sums = credits.group_by("model", dimension).agg(pl.col("credit", "value").sum())
        wanted = {(row["model"], row[dimension] or None): (row["credit"], row["value"]) for row in sums.to_dicts()}
        for path in ("attribution", "reports/performance"):
            data = await ask(path, key=app, dimension=dimension)
            found = {
                (model, item["key"]): (credit["credited_conversions"], credit["credited_value"])
                for item in data["items"]
                for model, credit in item["models"].items()
                if (model, item["key"]) in wanted or credit["credited_conversions"]
            }
            assert found.keys() == wanted.keys()
            for key, (credit, value) in found.items():
                assert float(credit) == pytest.approx(wanted[key][0], abs=1e-6)
                assert float(value) == pytest.approx(wanted[key][1], abs=0.01)
            for model, total in data["totals"]["models"].items():
                shown = [item["models"][model] for item in data["items"]]
                assert sum(credit["credited_value"] for credit in shown) == total["credited_value"]
                assert sum(credit["credited_conversions"] for credit in shown) == total["credited_conversions"]
            for credit in data["totals"]["models"].values():
                assert credit["credited_conversions"] == data["totals"]["conversions"] == raw.conversions.height
                assert credit["credited_value"] == data["totals"]["value"] == net
    listed, cursor = Decimal(0), None
    while True:
        page = await ask("conversions", key=app, limit=1000, cursor=cursor)
        listed += sum(item["value"] for item in page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert listed == net
