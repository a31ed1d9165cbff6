"""Traces: what they cost a gateway, off, of one request in a hundred, and of every one.

Gateways with each setting take turns under the load of `gateway_bench`, every round in another order, and of each the
median of the rounds is told. The collector takes spans and forgets them, in a process of its own.
"""

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from figures import Figure
from gateway_bench import KINDS, Kind, Round, Target, measure, prepare
from processes import READY_SECONDS, answers, peak_memory_mb, running, running_broker

from deploy.local.ports import free_port
from deploy.local.process import ChildProcess
from pipeline.runtime.settings import Settings

ROUNDS = 5
RATIOS = {"off": None, "1 in 100": "0.01", "every request": "1"}
COLLECTOR = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST
    log_message = lambda *_: None

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name, running_broker(Path(name)) as broker, ExitStack() as stack:
        folder, collector = Path(name), free_port()
        key = prepare(Settings(data_dir=folder, kafka_bootstrap=broker.bootstrap))
        stack.enter_context(running("collector", ["-c", COLLECTOR, str(collector)], {}, folder))
        base = {"ATTRIKIT_DATA_DIR": name, "ATTRIKIT_KAFKA_BOOTSTRAP": broker.bootstrap}
        targets = {}
        for number, (label, ratio) in enumerate(RATIOS.items()):
            port = free_port()
            own = base | {"ATTRIKIT_PORT": str(port)}
            if ratio is not None:
                own |= {"ATTRIKIT_TRACES_ENDPOINT": f"http://127.0.0.1:{collector}"}
                own |= {"ATTRIKIT_TRACES_SAMPLE_RATIO": ratio}
            process = stack.enter_context(running(f"gateway{number}", ["-m", "deploy.cli", "gateway"], own, folder))
            process.wait_until(lambda port=port: answers(f"http://127.0.0.1:{port}/readyz"), READY_SECONDS)
            targets[label] = Target(process, port, key, 0)
        figures = [figure for kind in KINDS for figure in _figures(kind, targets, broker.process)]
        memory = {label: peak_memory_mb(target.process.pid) for label, target in targets.items()}
        return [*figures, *_beside_off("gateway's peak memory", "MB", memory)]


def _figures(kind: Kind, targets: dict[str, Target], broker: ChildProcess) -> list[Figure]:
    for target in targets.values():
        measure(kind, target, broker, share=0.1)
    rounds: dict[str, list[Round]] = {label: [] for label in targets}
    labels = list(targets)
    for number in range(ROUNDS):
        turn = number % len(labels)
        for label in labels[turn:] + labels[:turn]:
            rounds[label].append(measure(kind, targets[label], broker))
    cost = {label: statistics.median(one.server_us for one in found) for label, found in rounds.items()}
    rate = {label: statistics.median(one.rate for one in found) for label, found in rounds.items()}
    return [
        *_beside_off(f"{kind.name}, processor time", "us/event", cost),
        *_beside_off(f"{kind.name}, rate", "events/s", rate),
    ]


def _beside_off(what: str, unit: str, found: dict[str, float]) -> list[Figure]:
    return [
        Figure(f"traces {label}: {what}", value, unit, None if label == "off" else found["off"])
        for label, value in found.items()
    ]


if __name__ == "__main__":
    for figure in run():
        print(figure.json_line(), flush=True)
