"""Credit without direct visits or impressions, against the models computed on the paths that remain."""

import asyncio
from collections import Counter
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from query_world import FIRST_MS

from pipeline.domain.attribution.models import credit_path
from pipeline.domain.rules import compile_rules
from pipeline.domain.state import Touch
from pipeline.runtime.clickhouse import ClickHouse
from schemas.control import App
from schemas.facts import NANOS_PER_CONVERSION, AttributionRow, Model, encode_rows

KINDS = (("click", "paid_search"), ("impression", "display"), ("visit", "email"), ("visit", "direct"))
NO_TOUCH = Touch(FIRST_MS, "", "visit", "direct", "", "", "")
RULES = compile_rules(App("left", "left"))
HOUR_MS = 3_600_000
CONVERTED_MS = FIRST_MS + 100 * HOUR_MS


def paths() -> list[list[Touch]]:
    """Paths of 0 to 7 touches of all kinds; among them every one of one or two touches."""
    random = Random(3)
    found = [[], *([kind] for kind in KINDS), *([a, b] for a in KINDS for b in KINDS)]
    found += [random.choices(KINDS, k=random.randint(3, 7)) for _ in range(60)]
    return [
        [
            Touch(FIRST_MS + 10 * at * HOUR_MS, f"t{at}", kind, channel, f"{channel}-{at}", "", "")
            for at, (kind, channel) in enumerate(path)
        ]
        for path in found
    ]


def row_of(number: int, path: list[Touch]) -> AttributionRow:
    shown = path or [NO_TOUCH]
    credits_nanos, values_minor = credit_path(shown, 1_000, RULES)
    columns = {f"{name}s": [getattr(touch, name) for touch in shown] for name in ("touch_id", "touch_type", "channel")}
    columns |= {f"{name}s": [getattr(touch, name) for touch in shown] for name in ("source", "medium", "campaign")}
    return AttributionRow(
        app_id="left",
        conversion_id=f"cnv_{number}",
        goal="purchase",
        person_key="u:somebody",
        converted_at_ms=CONVERTED_MS,
        value_minor=1_000,
        currency="CNY",
        touched_at_ms=[touch.at_ms for touch in shown],
        credits_nanos=credits_nanos,
        values_minor=values_minor,
        reason="initial",
        revision=1,
        **columns,
    )


def remaining(path: list[Touch], left_out: list[str]) -> list[Touch]:
    kept = [touch for touch in path if not ({touch.channel, touch.touch_type} & set(left_out))]
    return kept or [touch for touch in path if touch.channel == "direct"] or [NO_TOUCH]


@pytest.fixture(scope="module")
def stored(facts: ClickHouse) -> list[list[Touch]]:
    found = paths()
    rows = [row_of(number, path) for number, path in enumerate(found)]
    asyncio.run(facts.insert_ndjson("attributions", encode_rows(rows)))
    return found


@pytest.mark.parametrize("left_out", [[], ["direct"], ["impression"], ["direct", "impression"]])
@pytest.mark.parametrize("dimension", ["channel", "source", "touch_type"])
async def test_credit_is_that_of_the_paths_that_remain(
    ask: Any, stored: list[list[Touch]], left_out: list[str], dimension: str
) -> None:
    report = await ask("reports/performance", key="left", dimension=dimension, leave_out=",".join(left_out) or None)
    assert report["leave_out"] == left_out
    expected: dict[str, Counter[str]] = {model: Counter() for model in Model}
    for path in stored:
        kept = remaining(path, left_out)
        for model, nanos in credit_path(kept, 0, RULES)[0].items():
            for touch, share in zip(kept, nanos, strict=True):
                expected[model][getattr(touch, dimension)] += share
    for model, wanted in expected.items():
        shown = {row["key"] or "": row["models"][model]["credited_conversions"] for row in report["items"]}
        for key in shown.keys() | wanted.keys():
            difference = shown.get(key, Decimal(0)) - Decimal(wanted[key]) / NANOS_PER_CONVERSION
            assert abs(difference) < Decimal("0.00001"), (model, key)
        assert sum(shown.values()) == report["totals"]["models"][model]["credited_conversions"] == len(stored)
        values = [row["models"][model]["credited_value"] for row in report["items"]]
        assert sum(values) == report["totals"]["models"][model]["credited_value"] == 10 * len(stored)


async def test_what_is_left_out_can_be_narrowed_and_compared(ask: Any, stored: list[list[Touch]]) -> None:
    whole = await ask("reports/performance", key="left", leave_out="direct", model="linear")
    for row in filter(lambda row: row["key"], whole["items"]):
        of_row = await ask(
            "reports/performance",
            key="left",
            leave_out="direct",
            model="linear",
            channel=row["key"],
            dimension="source",
            compare="previous_period",
            **{"from": "2024-01-01", "to": "2024-03-01"},
        )
        totals = of_row["totals"]["models"]["linear"]["credited_conversions"]
        assert abs(totals - row["models"]["linear"]["credited_conversions"]) < Decimal("0.00001")


async def test_other_kinds_are_refused(client: Any) -> None:
    headers = {"Authorization": "Bearer ak_test_left", "Accept-Language": "en"}
    answer = await client.get("/v1/reports/performance", params={"leave_out": "view"}, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == "leave_out"
    assert "direct" in answer.json()["error"]["message"]
