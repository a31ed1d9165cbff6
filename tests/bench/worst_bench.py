"""Cost of the dearest single events to the domain, against the median event beside them, and the rows they write.

A person is prepared with as much as the state keeps: 100 touches and 100 conversions. Then one event of each kind is
applied to a fresh copy of that state, over and over, and its processor time and the bytes of its rows are told. The
baseline of every figure is the page view in order of the same person, which is the median event of any traffic. The
goal is at most 50 times the median for any kind; a figure above it names what is still to be bounded.

Found on two cores shared with other work: a late contact, which changes the past of 100 conversions, took 53 ms and
wrote 201 rows; it takes 0.16 ms (20 times the median) and writes 1 since what it changes is owed. A visit that writes
rows of ten such conversions takes as long as ten conversions do. A conversion takes 60 to 80 times the median, because
its rows hold a path of 100 touches with six models, and the oldest of 101 leaves with its own: this is above the goal.
"""

import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE)]

import msgspec  # noqa: E402
from figures import Figure  # noqa: E402

from pipeline.domain.effects import Effects  # noqa: E402
from pipeline.domain.journey import apply_event, write_owed_rows  # noqa: E402
from pipeline.domain.rules import AppRules, compile_rules  # noqa: E402
from pipeline.domain.state import MAX_CONVERSIONS, MAX_TOUCHES, PersonState, decode_state, encode_state  # noqa: E402
from schemas.control import DEFAULT_GOALS, App  # noqa: E402
from schemas.events import StreamEvent  # noqa: E402
from schemas.facts import encode_rows  # noqa: E402

START_MS: Final = 1_790_000_000_000
REPEATS: Final = 30
EVENT_BYTES: Final = 400
"""Size of such an event as the gateway writes it."""


def page_view(number: int, at_ms: int, campaign: str = "") -> StreamEvent:
    return StreamEvent(
        app_id="demo",
        event_id=f"evt_{number}_{at_ms}",
        event_name="page_view",
        timestamp_ms=at_ms,
        received_us=at_ms * 1000,
        anonymous_id="prepared",
        page_url="https://shop.example.com/p/1",
        campaign_source="google" if campaign else "",
        campaign_medium="cpc" if campaign else "",
        campaign_name=campaign,
    )


def purchase(number: int, at_ms: int) -> StreamEvent:
    properties = {"order_id": f"order-{number}", "revenue": 10, "currency": "CNY"}
    event = page_view(number, at_ms)
    return msgspec.structs.replace(
        event, event_name="purchase", properties=msgspec.Raw(msgspec.json.encode(properties))
    )


def prepared(rules: AppRules) -> tuple[PersonState, int]:
    """A person with all touches and conversions that are kept, in two visits; and the time of the last event."""
    state, at_ms = PersonState(), START_MS
    for number in range(MAX_TOUCHES):
        at_ms += 1_000 if number != MAX_TOUCHES // 2 else rules.gap_ms
        apply(state, page_view(number, at_ms, f"campaign-{number}"), rules)
    for number in range(MAX_CONVERSIONS):
        at_ms += 1_000
        apply(state, purchase(number, at_ms), rules)
    return state, at_ms


def apply(state: PersonState, event: StreamEvent, rules: AppRules) -> Effects:
    effects = Effects()
    apply_event(state, event, "a:prepared", rules, START_MS, 0, 0, 0, effects)
    return effects


def cost(data: bytes, event: StreamEvent, rules: AppRules) -> tuple[float, int, int]:
    """(µs of processor, rows, bytes of rows) of one event on the person of `data`, rows encoded."""
    seconds = []
    for _ in range(REPEATS):
        state = decode_state(data)
        started = time.process_time()
        effects = apply(state, event, rules)
        encoded = [encode_rows(rows) for rows in _rows(effects)]
        seconds.append(time.process_time() - started)
    rows = sum(map(len, _rows(effects)))
    return statistics.median(seconds) * 1e6, rows, sum(map(len, encoded))


def _rows(effects: Effects) -> list[list[Any]]:
    return [getattr(effects, name) for name in Effects.__slots__]


def run() -> list[Figure]:
    rules = compile_rules(App("demo", "Demo", goals=DEFAULT_GOALS))
    state, last_ms = prepared(rules)
    data = encode_state(state)
    middle_ms = last_ms - 1_000 * MAX_CONVERSIONS + 500
    median_us, _, _ = cost(data, page_view(0, last_ms + 1), rules)
    kinds = {
        "page view seconds late": page_view(1, last_ms - 500),
        "campaign contact in order": page_view(2, last_ms + 1, "in-order"),
        "campaign contact late": page_view(3, middle_ms, "late"),
        "conversion in order": purchase(1_001, last_ms + 1),
        "conversion late": purchase(1_002, middle_ms),
    }
    figures = [Figure("worst, page view in order (the median)", median_us, "µs")]
    for kind, event in kinds.items():
        spent_us, rows, size = cost(data, event, rules)
        figures += [
            Figure(f"worst, {kind}", spent_us, "µs", median_us),
            Figure(f"worst, {kind}, rows", rows, "rows"),
            Figure(f"worst, {kind}, written per byte read", size / EVENT_BYTES, "bytes"),
        ]
    apply(state, kinds["campaign contact late"], rules)
    visit = Effects()
    write_owed_rows(state, "demo", "a:prepared", rules, visit)
    figures.append(Figure("worst, a visit that writes owed rows, rows", sum(map(len, _rows(visit))), "rows"))
    return figures


if __name__ == "__main__":
    for figure in run():
        print(figure.json_line(), flush=True)
