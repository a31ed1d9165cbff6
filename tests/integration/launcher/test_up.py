"""The story of one data folder, told in order: first run, Ctrl-C, second run, SIGKILL, third run, a child's death."""

import asyncio
import os
import re
import shlex
import signal
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from clickhouse_over_chdb import standing_in

from pipeline.runtime.clickhouse import ClickHouse, lacking_migrations

NAMES = {"broker", "gateway", "worker", "webhooks", "store", "console"}
QUICK_START = """\
curl -X POST https://api.attrikit.com/v1/events/track \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "event_name": "page_view",
    "properties": {
      "page_title": "首页",
      "page_url": "https://example.com"
    },
    "timestamp": "2024-01-15T10:30:00Z"
  }'
"""


def post_with(curl: str) -> httpx.Response:
    """Do what a shell would do with the line."""
    words = shlex.split(curl)
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    return httpx.post(words[3], headers=headers, content=words[words.index("-d") + 1].encode())


def read(run, path: str) -> httpx.Response:
    key = (run.data_dir / "demo-key").read_text().strip()
    return httpx.get(run.base_url + path, headers={"Authorization": f"Bearer {key}"})


def until_readable(run, wait, event_id: str) -> None:
    wait(lambda: read(run, f"/v1/events/{event_id}").status_code == 200, run)


@pytest.fixture(scope="module")
def port(free_port) -> int:
    return free_port()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("up") / "data"


@pytest.mark.timeout(300)
def test_a_data_folder_from_its_first_run_to_the_death_of_a_child(start, wait, processes_on, port, data_dir, free_port):
    # First run: the document's request works as it stands.
    run = start(port, data_dir).wait_ready()
    key = (data_dir / "demo-key").read_text().strip()
    curl = QUICK_START.replace("https://api.attrikit.com", run.base_url).replace("YOUR_API_KEY", key)
    assert curl in run.output
    answer = post_with(curl)
    assert answer.status_code == 201, answer.text
    event_id = answer.json()["data"]["event_id"]
    until_readable(run, wait, event_id)
    assert f"{run.base_url}/docs" in run.output
    assert httpx.get(f"{run.base_url}/docs").status_code == 200
    assert "for development and evaluation only" in run.output
    assert (data_dir / "demo-key").stat().st_mode & 0o777 == 0o600
    assert set(run.children()) == NAMES
    link = re.search(r"^console +(\S+)\n.*once: (\1/setup/\S+)$", run.output, re.M)
    assert link is not None, run.output
    assert "admin" in httpx.get(link[2]).text
    assert httpx.get(f"{run.base_url}/", headers={"Accept": "text/html"}).headers["location"] == link[1]

    # Neither a second run on the folder nor one on the port disturbs it.
    second = start(free_port(), data_dir)
    assert second.exit_code() == 1
    assert re.fullmatch(r"error: another run \(process \d+\) is using the data folder .*\n", second.output)
    third = start(port, data_dir.with_name("other"))
    assert third.exit_code() == 1
    assert third.output == f"error: port {port} cannot be used: it is taken; choose another (PORT=)\n"
    assert not data_dir.with_name("other").exists()

    # Ctrl-C: in order, nothing left, exit 0, and the key in no log.
    assert run.press_ctrl_c() == 0
    said = [
        run.output.index(f"stopping {name}") for name in ("console", "gateway", "worker", "webhooks", "store", "broker")
    ]
    assert said == sorted(said)
    assert "warning" not in run.output
    assert processes_on(data_dir) == {}
    for log in (data_dir / "logs").iterdir():
        assert key not in log.read_text(), log
        assert link[2].rpartition("/")[2] not in log.read_text(), log

    # The next run goes on with the data and shows the key no more.
    run = start(port, data_dir).wait_ready()
    assert key not in run.output
    assert f"$(cat {data_dir}/demo-key)" in run.output
    assert read(run, f"/v1/events/{event_id}").status_code == 200

    # A killed launcher takes its children along, and the folder is free again by itself. On a disk that is nearly full
    # (as by this margin) the next run serves reads and refuses events.
    event_id = post_with(curl).json()["data"]["event_id"]
    until_readable(run, wait, event_id)
    run.process.kill()
    run.exit_code()
    run = start(port, data_dir, broker_margin_bytes=2**50).wait_ready()
    assert read(run, f"/v1/events/{event_id}").status_code == 200
    assert "warning: the disk is nearly full: events are refused until " in run.output
    answer = post_with(curl)
    assert (answer.status_code, answer.headers["retry-after"]) == (500, "10")
    ready = httpx.get(f"{run.base_url}/readyz")
    assert (ready.status_code, ready.json()["error"]["details"]) == (503, {"missing": ["disk space for the broker"]})

    # A child that dies is named, with its last words, and everything else is stopped.
    os.kill(run.children()["worker"], signal.SIGKILL)
    assert run.exit_code() == 1
    assert "error: worker ended with signal SIGKILL" in run.output
    assert f"its log: {data_dir}/logs/worker.log" in run.output
    assert processes_on(data_dir) == {}


def test_a_signal_while_starting_leaves_nothing_behind(start, processes_on, free_port, tmp_path):
    run = start(free_port(), tmp_path / "data")
    run.wait_for_line("^broker ")
    run.process.send_signal(signal.SIGTERM)
    assert run.exit_code() == 0
    assert not re.search("^ready$", run.output, re.M)
    assert processes_on(tmp_path / "data") == {}


def test_another_broker_on_the_same_data_is_refused(start, free_port, tmp_path):
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "kind").write_text("kafka\n")
    run = start(free_port(), tmp_path)
    assert run.exit_code() == 1
    assert run.output == f"error: {tmp_path} was filled with BROKER=kafka; use another folder (DATA=) for noida\n"


def test_a_folder_that_cannot_be_used_is_named(start, free_port, tmp_path):
    (tmp_path / "file").touch()
    run = start(free_port(), tmp_path / "file" / "data")
    assert run.exit_code() == 1
    assert re.fullmatch(r"error: the data folder .*file/data cannot be used: Not a directory\n", run.output)


def test_unknown_broker_and_bad_port(start, free_port, tmp_path):
    run = start(free_port(), tmp_path, "--broker", "rabbit")
    assert run.exit_code() == 2
    assert "noida, kafka" in run.output
    assert start(70_000, tmp_path).exit_code() == 2


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_the_same_on_apache_kafka(start, wait, processes_on, kafka_jars, free_port, tmp_path):
    run = start(free_port(), tmp_path / "data", "--broker", "kafka").wait_ready()
    assert "Apache Kafka 4" in run.output
    key = (run.data_dir / "demo-key").read_text().strip()
    answer = post_with(QUICK_START.replace("https://api.attrikit.com", run.base_url).replace("YOUR_API_KEY", key))
    assert answer.status_code == 201
    until_readable(run, wait, answer.json()["data"]["event_id"])
    run.process.send_signal(signal.SIGTERM)
    assert run.exit_code() == 0
    assert processes_on(run.data_dir) == {}


def test_the_tables_of_a_server_are_made_before_the_store_starts(
    start, free_port, tmp_path, clickhouse_dir, make_settings
):
    """By the launcher, under the lock: the store finds them and waits for none."""
    with standing_in(clickhouse_dir / "clickhouse") as server:
        url = f"{server.url}/up_{uuid4().hex[:12]}"
        run = start(free_port(), tmp_path / "data", clickhouse_url=url).wait_ready()
        with closing(ClickHouse.open(make_settings(clickhouse_url=url))) as clickhouse:
            assert asyncio.run(lacking_migrations(clickhouse)) == []
        assert "migrations" not in (run.data_dir / "logs" / "store.log").read_text()
        assert run.press_ctrl_c() == 0
