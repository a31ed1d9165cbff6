"""The health check of containers: what it says of a process, and what it loads to do so."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deploy.probe import failure

OUR_FINDER = "__editable__"
LOADED = "import sys, deploy.probe; print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"


class _Process(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Process) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(30)


def test_a_process_is_ready_once_it_answers_200(address: str) -> None:
    assert failure(f"{address}/readyz") == ""
    assert failure(f"{address}/other") == "answered 503"


def test_a_process_that_is_not_there_is_not_ready(free_port: Callable[[], int]) -> None:
    command = [sys.executable, "-I", "-m", "deploy.probe", f"http://127.0.0.1:{free_port()}/readyz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.endswith("Connection refused\n")
    assert "Traceback" not in done.stderr


def test_it_loads_the_standard_library_alone() -> None:
    """A check starts it anew each time: another package would cost every container its processor time."""
    done = subprocess.run([sys.executable, "-I", "-c", LOADED], capture_output=True, text=True, check=True, timeout=60)
    assert {name for name in done.stdout.split() if not name.startswith(OUR_FINDER)} <= {
        "__main__",
        "_distutils_hack",
        "deploy",
    }
