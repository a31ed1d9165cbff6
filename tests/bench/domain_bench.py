"""Processor time per event of the worker's pure parts: the domain alone, and a group from its messages to its records.

    python tests/bench/domain_bench.py [EVENTS]

Two kinds of traffic: the usual one of the stream's bench (pages, some seconds late, a purchase now and then), and the
ad clicks of the `touches` bench, each in a session of its own. Everything is in one thread and in memory, without a
broker and a store, so the figures are the processor's alone. Of several rounds the fastest is told: what disturbs a
round makes it slower only. Before and after the short ways for events inside the open session and for sessions that
begin, and the cache of classified ads, in turns on two cores shared with other work, µs of the domain and of a group:
usual traffic 19 and 25 against 18 and 25, ad clicks 62 and 80 against 48 and 64.

- *domain*: decoded events go into their persons' states (`apply_event`), and every 2,000 events the sessions that
  changed are written (`publish_sessions`).
- *group*: packed messages are decoded, applied by a `WorkingSet`, closed as groups of 2,000 events, and their rows and
  states encoded as they go to the broker.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "support")]

import stream_traffic  # noqa: E402
import touches_bench  # noqa: E402
from figures import Figure  # noqa: E402

from pipeline.domain.apply import apply_event, has_unpublished, publish_sessions  # noqa: E402
from pipeline.domain.context import PersonContext  # noqa: E402
from pipeline.domain.effects import Effects  # noqa: E402
from pipeline.domain.rules import compile_rules  # noqa: E402
from pipeline.domain.state import PersonState, new_state  # noqa: E402
from pipeline.domain.watermark import Watermark  # noqa: E402
from pipeline.stream.decode import Place, decode_message  # noqa: E402
from pipeline.stream.partition.outputs import packed  # noqa: E402
from pipeline.stream.partition.persons import Persons  # noqa: E402
from pipeline.stream.partition.state_cache import LiveStates  # noqa: E402
from pipeline.stream.partition.working_set import WorkingSet  # noqa: E402
from schemas.control import DEFAULT_GOALS, App  # noqa: E402
from schemas.events import AcceptedEvent, StreamEvent, decode_stream_events, encode_event  # noqa: E402
from schemas.persons import person_key  # noqa: E402
from schemas.topics import Topic  # noqa: E402

EVENTS: Final = 20_000
GROUP_EVENTS: Final = 2_000
MESSAGE_EVENTS: Final = 100
ROUNDS: Final = 5
OUT_OF_ORDERNESS_MS: Final = 60_000
RULES: Final = {"demo": compile_rules(App("demo", "Demo", goals=DEFAULT_GOALS))}
Encoded = tuple[list[tuple[Topic, bytes]], list[bytes]]
"""A group as it goes to the broker: records by topic, and changed states with their keys."""


def usual(count: int) -> list[AcceptedEvent]:
    return list(stream_traffic.events(count, max(1, count // 80)))


def ad_clicks(count: int) -> list[AcceptedEvent]:
    """As the gateway writes the events of the `touches` bench."""
    return touches_bench.accepted(count, stream_traffic.START_MS)


KINDS: Final[dict[str, Callable[[int], list[AcceptedEvent]]]] = {"usual traffic": usual, "ad clicks": ad_clicks}


def domain_seconds(events: Sequence[StreamEvent]) -> float:
    """Processor time of the domain on these events."""
    states: dict[str, PersonState] = {}
    rules = RULES["demo"]
    watermark = Watermark(OUT_OF_ORDERNESS_MS)
    started = time.process_time()
    for start in range(0, len(events), GROUP_EVENTS):
        effects, changed = Effects(), set()
        for index, event in enumerate(events[start : start + GROUP_EVENTS]):
            watermark.observe(event.timestamp_ms, event.received_us // 1000)
            person = person_key(event.user_id, event.anonymous_id, event.event_id)
            state = states.get(person)
            if state is None:
                state = states[person] = new_state()
            apply_event(
                PersonContext(state, event.app_id, person, rules, watermark.value_ms, effects, (0, start, index)), event
            )
            changed.add(person)
        for person in changed:
            if has_unpublished(states[person]):
                publish_sessions(PersonContext(states[person], "demo", person, rules, watermark.value_ms, effects))
    return time.process_time() - started


def group_seconds(messages: Sequence[bytes]) -> float:
    """Processor time of a worker's pure parts on these messages."""
    started = time.process_time()
    for _ in groups_of(messages):
        pass
    return time.process_time() - started


def groups_of(messages: Sequence[bytes]) -> Iterator[Encoded]:
    """Apply the messages, and yield of each group what goes to the broker."""
    stored: dict[bytes, bytes] = {}
    states = LiveStates(lambda keys: [stored.get(key) for key in keys], 10**6, 2**40)
    working_set = WorkingSet(Persons(0, states, RULES, Watermark(OUT_OF_ORDERNESS_MS)))
    for offset, message in enumerate(messages):
        decoded = decode_message(message, Place(Topic.EVENTS, 0, offset, 0))
        while not working_set.apply(decoded):
            yield _close(working_set, stored)
        if working_set.open_events >= GROUP_EVENTS:
            yield _close(working_set, stored)
    while working_set.has_open_changes or working_set.pending_sessions:
        yield _close(working_set, stored)


def _close(working_set: WorkingSet, stored: dict[bytes, bytes]) -> Encoded:
    group = working_set.close_group(publish=True)
    assert group is not None
    records = [(topic, value) for topic, _, value in packed(group, 0, 1)]
    stored.update(group.puts)
    working_set.stored()
    return records, [key + state for key, state in group.puts]


def pack(events: Sequence[AcceptedEvent]) -> list[bytes]:
    lines = [encode_event(event) for event in events]
    return [b"\n".join(lines[start : start + MESSAGE_EVENTS]) for start in range(0, len(lines), MESSAGE_EVENTS)]


def run(count: int = EVENTS) -> list[Figure]:
    figures = []
    for kind, make in KINDS.items():
        messages = pack(make(count))
        decoded = [event for message in messages for event in decode_stream_events(message)]
        domain = min(domain_seconds(decoded) for _ in range(ROUNDS))
        group = min(group_seconds(messages) for _ in range(ROUNDS))
        figures += [
            Figure(f"domain, {kind}", domain / len(decoded) * 1e6, "µs/event"),
            Figure(f"group, {kind}", group / len(decoded) * 1e6, "µs/event"),
        ]
    return figures


if __name__ == "__main__":
    for figure in run(int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS):
        print(figure.json_line(), flush=True)
