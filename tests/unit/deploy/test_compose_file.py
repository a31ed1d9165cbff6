"""The compose file: what each of our containers may do, what it is told, and that nothing listens for everybody."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from deploy.cli.main import app
from deploy.cli.new_secrets import NAMES
from pipeline.runtime.environment import setting_names

COMPOSE = Path(__file__).parents[3] / "deploy" / "compose"
TEXT = (COMPOSE / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {name: service for name, service in SERVICES.items() if "${IMAGE:" in service["image"]}


@pytest.mark.parametrize("name", OURS)
def test_a_process_may_do_little_and_is_told_settings_there_are(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["environment"]) <= setting_names()
    commands: Any = typer.main.get_command(app)
    for word in service["command"]:
        if not hasattr(commands, "commands"):
            break  # what follows are its arguments
        commands = commands.commands[word]


@pytest.mark.parametrize("name", SERVICES)
def test_logs_are_bounded_and_ports_are_on_loopback(name: str) -> None:
    service = SERVICES[name]
    assert service["logging"]["options"]["max-size"]
    assert all(re.match(r"(\$\{[A-Z_]*LISTEN:-)?127\.0\.0\.1:", port) for port in service.get("ports", []))
    assert "latest" not in service["image"]


def test_it_asks_for_the_secrets_that_are_made() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", TEXT))
    assert asked == {name.replace("-", "_").upper() for name in NAMES}


def test_prometheus_asks_every_process_with_a_port() -> None:
    jobs = yaml.safe_load((COMPOSE / "prometheus.yaml").read_text())["scrape_configs"]
    targets = {
        target.partition(":")[0] for job in jobs for group in job["static_configs"] for target in group["targets"]
    }
    assert targets == set(OURS) - {"topics", "migrate", "backup"}
