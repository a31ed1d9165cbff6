"""The baseline of the stream's bench, Faust as its documentation shows it: an event a message, a table write an event.

It decides with the same domain and keeps the same state in RocksDB; only the way of running it differs.

Prints one JSON line when `EXPECT` events are done: events, seconds, and events per second.
"""

import json
import os
import sys
import time

import faust

from pipeline.domain.apply import apply_event, publish_sessions
from pipeline.domain.context import PersonContext
from pipeline.domain.effects import Effects
from pipeline.domain.rules import compile_rules
from pipeline.domain.state import decode_state, encode_state, new_state
from pipeline.domain.watermark import Watermark
from pipeline.runtime.settings import Settings
from schemas.control import DEFAULT_GOALS, App
from schemas.events import decode_stream_event
from schemas.facts import encode_row
from schemas.persons import person_key

SETTINGS = Settings()
EXPECT = int(os.environ.get("EXPECT", "0"))
RULES = compile_rules(App("demo", "Demo", goals=DEFAULT_GOALS))

app = faust.App(
    "naive",
    broker=f"kafka://{SETTINGS.kafka_bootstrap}",
    store="rocksdb://",
    datadir=str(SETTINGS.data_dir),
    topic_partitions=SETTINGS.partitions,
    web_enabled=False,
    autodiscover=False,
)
source = app.topic("naive-events", value_type=bytes, value_serializer="raw")
outputs = {
    name: app.topic(f"naive-{name}", value_type=bytes, value_serializer="raw")
    for name in ("sessions", "touches", "conversions", "attributions", "marks")
}
table = app.Table("naive-persons", key_type=bytes, value_type=bytes, partitions=SETTINGS.partitions)
watermark = Watermark(int(SETTINGS.out_of_orderness_seconds * 1000))
done = {"events": 0, "started": 0.0}


@app.agent(source)
async def process(stream: faust.StreamT) -> None:
    async for message in stream.events():
        if not done["started"]:
            done["started"] = time.monotonic()
        event = decode_stream_event(message.value)
        person = person_key(event.user_id, event.anonymous_id, event.event_id)
        key = f"{event.app_id}\x1f{person}".encode()
        data = table.get(key)
        state = decode_state(data) if data is not None else new_state()
        effects = Effects()
        place = (message.message.partition, message.message.offset, 0)
        watermark.observe(event.timestamp_ms, event.received_us // 1000)
        context = PersonContext(state, event.app_id, person, RULES, watermark.value_ms, effects, place)
        apply_event(context, event)
        publish_sessions(context)
        for name, topic in outputs.items():
            for row in getattr(effects, name):
                await topic.send(value=encode_row(row))
        table[key] = encode_state(state)
        count()


def count() -> None:
    done["events"] += 1
    if done["events"] == EXPECT:
        seconds = time.monotonic() - done["started"]
        result = {"events": EXPECT, "seconds": round(seconds, 2), "events_per_second": round(EXPECT / seconds)}
        # Faust takes sys.stdout for its log.
        print(json.dumps(result), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "-l", "error"]
    app.main()
