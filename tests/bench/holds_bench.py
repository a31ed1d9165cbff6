"""Calls that cannot be cut up, and hold the interpreter while they run: processor time of the longest of each kind.

`SECURITY.md` names them ("What holds up others").
"""

import random
import sys
import time
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path
from typing import Final

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "support")]

import msgspec  # noqa: E402
from aiokafka.record.default_records import DefaultRecordBatchBuilder  # noqa: E402
from figures import Figure  # noqa: E402
from odd_requests import DEAR_EVENTS, SEEDS  # noqa: E402

from schemas.control import PrivacySettings  # noqa: E402
from schemas.events import MAX_BATCH_BYTES, MAX_EVENT_BYTES  # noqa: E402
from services.gateway.body_split import parse_batch  # noqa: E402
from services.gateway.privacy import Privacy  # noqa: E402
from services.query.core.answer_text import BATCH, items_text  # noqa: E402
from services.query.core.rows import PIECE_BYTES, decode_rows  # noqa: E402
from services.query.events.statements import EventRow  # noqa: E402
from services.query.events.view import event_of  # noqa: E402

TRIES: Final = 7
_ZSTD: Final = 4


def _milliseconds(call: Callable[[], object]) -> float:
    """Return the processor time of this thread, the least of some tries."""
    times = []
    for _ in range(TRIES):
        began = time.thread_time()
        call()
        times.append(time.thread_time() - began)
    return 1000 * min(times)


def _row(properties: str) -> EventRow:
    texts = dict.fromkeys(EventRow.__struct_fields__, "text")
    numbers = {"timestamp_ms": 1_700_000_000_000, "received_us": 1_700_000_000_000_000, "original_timestamp_ms": 0}
    return msgspec.convert(texts | numbers | {"is_bot": False, "properties": properties}, EventRow)


def _build(size_bytes: int) -> Callable[[], object]:
    rng = random.Random(1)
    ids = (b'{"event_id":"%d","anonymous_id":"%d",' % (rng.getrandbits(60), rng.getrandbits(60)) for _ in count())
    events = (identity + SEEDS[0][1:] for identity in ids)
    value = b"".join(islice(events, size_bytes // (len(SEEDS[0]) + 60)))

    def build() -> object:
        builder = DefaultRecordBatchBuilder(2, _ZSTD, False, 1, 0, 0, 1 << 24)
        builder.append(0, 0, None, value, [])
        return builder.build()

    return build


def run() -> list[Figure]:
    event = b'{"event_name":"a","properties":{"a":"' + b"x" * (MAX_BATCH_BYTES // 1_000 - 60) + b'"}}'
    plain = b'{"events":[' + b",".join([event] * 1_000) + b"]}"
    dear = b'{"events":[' + b",".join([DEAR_EVENTS[0]] * 1_000) + b"]}"
    names = b'{"event_name":"B","x":"' + b"&x_amz_security_token" * 1_550 + b'"}'
    privacy = Privacy(PrivacySettings())
    large = [_row('{"a":"' + "x" * (MAX_EVENT_BYTES - 1_000) + '"}')] * BATCH
    small = msgspec.json.Encoder().encode_lines([_row("{}")] * (PIECE_BYTES // 600))
    return [
        Figure("holds: body of 5 MB parsed", _milliseconds(lambda: parse_batch(plain, b"")), "ms"),
        Figure("holds: body of 5 MB of empty objects parsed", _milliseconds(lambda: parse_batch(dear, b"")), "ms"),
        Figure(
            "holds: 32 KB refused, cleaned of secrets", _milliseconds(lambda: privacy.payload(names.decode())), "ms"
        ),
        Figure("holds: 192 KB of `=` looked at", _milliseconds(lambda: privacy.may_drop(b"=" * (192 << 10))), "ms"),
        Figure("holds: rows decoded, 128 KB", _milliseconds(lambda: decode_rows(EventRow, small)), "ms"),
        Figure(
            f"holds: {BATCH} largest events encoded",
            _milliseconds(lambda: items_text([event_of(row, "Asia/Shanghai") for row in large])),
            "ms",
        ),
        *(Figure(f"holds: batch of {mb} MB built", _milliseconds(_build(mb << 20)), "ms") for mb in (1, 3)),
    ]


if __name__ == "__main__":
    for figure in run():
        print(figure.json_line())
