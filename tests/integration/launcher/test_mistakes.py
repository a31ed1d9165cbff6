"""Every command of `attrikit`, with mistakes a person makes: one line on standard error, an exit code, no traceback."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from deploy.cli.main import app
from pipeline.runtime.connection_settings import PREFIX, ProcessSettings, TracesSettings
from pipeline.runtime.environment import setting_names
from pipeline.runtime.settings import (
    AlertsSettings,
    ConsoleSettings,
    GatewaySettings,
    LoaderSettings,
    QuerySettings,
    Settings,
    StoreSettings,
    WebhooksSettings,
    WorkerSettings,
)

CLIENTS = {"rejected list", "rejected replay", "costs list", "webhooks replay"}
"""Commands that are given an address and a key, and read no settings."""
PLAIN = {"secrets init", "settings", "signals", "size"}
"""Commands that read no settings, and nothing that is kept."""
NO_FOLDER = CLIENTS | PLAIN | {"up", "demo", "migrate", "restore", "copy-tables", "topics create", "progress"}
"""Commands that need no data folder, or begin one."""
SERVICES: dict[str, type[ProcessSettings]] = {
    "gateway": GatewaySettings,
    "worker": WorkerSettings,
    "loader": LoaderSettings,
    "query": QuerySettings,
    "store": StoreSettings,
    "console": ConsoleSettings,
    "alerts serve": AlertsSettings,
    "webhooks serve": WebhooksSettings,
}
"""They start without their neighbours, and wait for them. Each reads its own settings; commands read all."""
BROKER = {"topics create", "progress", "ledger", "costs import", "costs remove"}
SAMPLES = {
    "app_id": "shop",
    "metric": "events",
    "url": "https://shop.example/hook",
    "since": "2024-01-15",
    "from_": "2024-01-15",
    "to": "2024-01-15",
    "channel": "influencer",
    "above": "5",
    "source": "kol*",
}
"""Values of required parameters by name; `x` for any other."""
MORE = {
    "alerts add": ["--above", "5"],
    "channels add": ["--source", "kol*"],
    "channels test": ["--page", "https://shop.example/"],
    "goals add": ["--event", "purchase"],
}


def _leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(_leaves(typer.main.get_command(app)))
ALL = sorted(COMMANDS)


def arguments_of(name: str, folder: Path) -> list[str]:
    """The command with what it requires."""
    costs = folder / "costs.csv"
    costs.write_text("date,channel,cost\n2024-01-15,paid_search,5\n")
    given = name.split()
    for parameter in COMMANDS[name].params:
        if parameter.required:
            value = str(costs) if parameter.name == "file" else SAMPLES.get(parameter.name, "x")
            given += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    return given + MORE.get(name, [])


@pytest.fixture
def attrikit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`attrikit("keys list", ATTRIKIT_PORT="x")`, in this process, without a data folder unless `data` is there."""
    for variable in setting_names() | {"ATTRIKIT_API_KEY", "ATTRIKIT_API_URL"}:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ATTRIKIT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("pipeline.runtime.log.configure_logging", lambda *_: None)

    def run(name: str, *more: str, **variables: str) -> Any:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        return CliRunner().invoke(app, [*arguments_of(name, tmp_path), *more])

    return run


def assert_told(result: Any, *said: str, code: int | None = None) -> None:
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == code if code is not None else result.exit_code in (1, 2)
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert lines, result.output
    for words in said:
        assert words in " ".join(result.stderr.split()), result.stderr
    assert "Traceback" not in result.output
    if result.exit_code == 1:
        assert len(lines) == 1, lines


@pytest.mark.parametrize("name", ALL)
def test_a_setting_there_is_not_is_refused_with_the_nearest_name(attrikit: Any, name: str) -> None:
    result = attrikit(name, ATTRIKIT_PARTITION="8")
    assert_told(result, "ATTRIKIT_PARTITION: no such setting; did you mean ATTRIKIT_PARTITIONS?", code=2)


WRONG = [
    ("ATTRIKIT_LOG_LEVEL", "loud", "'debug', 'info'"),
    ("ATTRIKIT_CONTROL_PLANE_URL", "mysql://me:hush@db/attrikit", "mysql:// cannot be used here"),
    ("ATTRIKIT_CLICKHOUSE_URL", "mysql://me:hush@db/attrikit", "expected http://"),
    ("ATTRIKIT_KAFKA_BOOTSTRAP", "kafka", "expected host:port"),
    ("ATTRIKIT_WEBHOOK_RETRY_SECONDS", "0", "each more than 0 seconds"),
]


def _reads(name: str, variable: str) -> bool:
    return variable.removeprefix(PREFIX).lower() in SERVICES.get(name, Settings).model_fields


@pytest.mark.parametrize(
    ("name", "variable", "value", "said"),
    [
        (name, *wrong)
        for name in sorted(set(ALL) - CLIENTS - PLAIN - {"demo"})
        for wrong in WRONG
        if _reads(name, wrong[0])
    ],
)
def test_a_wrong_value_is_named_without_its_password(
    attrikit: Any, name: str, variable: str, value: str, said: str
) -> None:
    result = attrikit(name, **{variable: value})
    assert_told(result, f"{variable}: ", said, code=2)
    assert "hush" not in result.output


@pytest.mark.parametrize("name", sorted(set(ALL) - NO_FOLDER))
def test_a_data_folder_that_is_not_there_is_not_made(attrikit: Any, name: str, tmp_path: Path) -> None:
    assert_told(attrikit(name), f"there is no data folder {tmp_path / 'data'}", code=1)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", sorted(set(ALL) - NO_FOLDER - SERVICES.keys() - {"ledger", "doctor"}))
def test_a_control_plane_that_is_away_is_one_line(
    attrikit: Any, name: str, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    (tmp_path / "data").mkdir()
    url = f"postgresql+psycopg://me:hush@127.0.0.1:{free_port()}/x"
    result = attrikit(name, ATTRIKIT_CONTROL_PLANE_URL=url)
    assert_told(result, "the control plane's database cannot be used: ", "refused", code=1)
    assert "hush" not in result.output


@pytest.mark.parametrize("name", sorted(CLIENTS))
@pytest.mark.parametrize("key", ["ak_live_…", "钥匙", "a b", "a\nb"])
def test_a_key_that_is_none_is_told(attrikit: Any, name: str, key: str) -> None:
    assert_told(attrikit(name, "--key", key), "that is no API key", code=2)


@pytest.mark.parametrize("name", sorted(CLIENTS))
@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "127.0.0.1:{port}", "nonsense", "http://[::1"])
def test_an_api_that_is_away_is_one_line(attrikit: Any, name: str, url: str, free_port: Callable[[], int]) -> None:
    result = attrikit(name, "--key", "ak_live_x", "--url", url.format(port=free_port()))
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", sorted(BROKER))
def test_a_broker_that_is_away_is_one_line(
    attrikit: Any, name: str, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    (tmp_path / "data").mkdir()
    if name.startswith("costs"):
        assert attrikit("apps create").exit_code == 0
    result = attrikit(name, ATTRIKIT_KAFKA_BOOTSTRAP=f"127.0.0.1:{free_port()}")
    assert_told(result, "the broker does not answer", code=1)


def test_a_clickhouse_server_that_is_away_is_one_line(attrikit: Any, tmp_path: Path, free_port: Any) -> None:
    (tmp_path / "data").mkdir()
    result = attrikit("migrate", ATTRIKIT_CLICKHOUSE_URL=f"http://me:hush@127.0.0.1:{free_port()}/x")
    assert_told(result, "ClickHouse cannot be used: ", code=1)
    assert "hush" not in result.output


@pytest.mark.parametrize("name", ["ledger", "store", "loader", "query", "migrate", "alerts serve"])
def test_tables_that_another_process_has_open_are_one_line(name: str, tmp_path: Path, broker: str) -> None:
    """Processes of their own: beside a store that was started apart, which no file of the data folder tells of."""
    data = tmp_path / "data"
    data.mkdir()
    own = {key: value for key, value in os.environ.items() if not key.startswith("ATTRIKIT_")}
    own |= {"ATTRIKIT_DATA_DIR": str(data), "ATTRIKIT_KAFKA_BOOTSTRAP": broker}
    with (data / "clickhouse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for arguments in (["topics", "create"], name.split()):
            command = [sys.executable, "-P", "-m", "deploy.cli", *arguments]
            done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=90)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    told = [line for line in done.stderr.splitlines() if "is in use by process" in line]
    assert len(told) == 1, done.stderr


@pytest.mark.parametrize("name", sorted(name for name, kind in SERVICES.items() if issubclass(kind, TracesSettings)))
def test_traces_without_their_packages_are_one_line(
    attrikit: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    monkeypatch.delitem(sys.modules, "pipeline.runtime.traces.otel", raising=False)
    result = attrikit(name, ATTRIKIT_TRACES_ENDPOINT="http://127.0.0.1:4318")
    assert_told(result, "is not installed here", "attrikit[tracing]", code=1)
