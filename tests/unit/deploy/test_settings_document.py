"""SETTINGS.md and .env.example are what the settings say."""

from pathlib import Path

import pytest

from deploy.settings_document import PROCESSES, document, env_file, parts
from pipeline.runtime.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "made", "command"),
    [("SETTINGS.md", document, "attrikit settings"), (".env.example", env_file, "attrikit settings --env")],
)
def test_the_file_is_up_to_date(name, made, command):
    assert (ROOT / name).read_text() == made(), f"make it anew: {command} > {name}"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described_once(name):
    assert Settings.model_fields[name].description
    assert document().count(f"| `ATTRIKIT_{name.upper()}` |") == 1


def test_every_part_is_read_by_a_process():
    for part in parts():
        assert any(issubclass(kind, part) for kind in PROCESSES.values()), part
