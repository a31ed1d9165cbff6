"""Secrets of a new installation: strong, in the forms compose and Kubernetes take, never written over."""

import re
from pathlib import Path

import yaml
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from deploy.cli.main import app
from deploy.cli.new_secrets import NAMES, env_file, kubernetes_manifest, new_values


def _numbered(count: int = 0) -> dict[str, str]:
    given = iter(range(count, 256))
    return new_values(lambda size: bytes([next(given)]) * size)


def test_each_name_has_a_secret_of_its_own() -> None:
    values = _numbered()
    assert set(values) == set(NAMES)
    assert len(set(values.values())) == len(NAMES)
    Fernet(values["webhook-key"])


def test_values_can_stand_in_a_url_and_in_a_shell() -> None:
    values = new_values(lambda size: b"\xff" * size)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}=?", value) for value in values.values())
    lines = env_file(values).splitlines()[1:]
    assert [line.partition("=")[0] for line in lines] == [name.replace("-", "_").upper() for name in NAMES]


def test_the_manifest_has_the_urls_of_the_evaluations_stores() -> None:
    values = _numbered()
    secret = yaml.safe_load(kubernetes_manifest(values, "shop"))
    assert secret["kind"] == "Secret"
    assert secret["metadata"]["name"] == "shop"
    held = secret["stringData"]
    assert {name: held[name] for name in NAMES} == values
    assert (
        held["postgres-url"]
        == f"postgresql+psycopg://attrikit:{values['postgres-password']}@shop-postgres:5432/attrikit"
    )
    assert set(held) - set(NAMES) == {"postgres-url", "clickhouse-url", "redis-url"}


def test_the_command_never_writes_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    first = CliRunner().invoke(app, ["secrets", "init", "--output", str(path)])
    assert first.exit_code == 0
    held = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    second = CliRunner().invoke(app, ["secrets", "init", "--output", str(path)])
    assert second.exit_code == 1
    assert path.read_text() == held


def test_two_runs_give_different_secrets() -> None:
    run = CliRunner().invoke
    assert run(app, ["secrets", "init"]).output != run(app, ["secrets", "init"]).output
