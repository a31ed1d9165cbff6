from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.runtime.settings import Settings

EXAMPLE = Path(__file__).parents[4] / ".env.example"


def example_lines() -> list[str]:
    return [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]


def test_env_example_lists_every_setting_with_its_default(make_settings):
    defaults = {
        f"ATTRIKIT_{name.upper()}": str(field.get_default(call_default_factory=True))
        for name, field in Settings.model_fields.items()
    }
    assert dict(line.split("=", 1) for line in example_lines()) == defaults


def test_env_example_can_be_used_as_it_stands(make_settings, monkeypatch):
    for line in example_lines():
        monkeypatch.setenv(*line.split("=", 1))
    assert Settings() == Settings.model_construct()


@pytest.mark.parametrize(
    "wrong", [{"partitions": 0}, {"port": 70_000}, {"log_level": "loud"}, {"loader_max_rows": 0}, {"data_dir": None}]
)
def test_an_impossible_value_is_refused(make_settings, wrong):
    with pytest.raises(ValidationError):
        make_settings(**wrong)


def test_settings_are_frozen(make_settings):
    with pytest.raises(ValidationError):
        make_settings().port = 1


def test_the_control_plane_lies_in_the_data_folder_unless_told_otherwise(make_settings, tmp_path):
    assert make_settings().control_plane_dsn() == f"sqlite:///{tmp_path}/control.db"
    assert make_settings(control_plane_url="postgresql://x/y").control_plane_dsn() == "postgresql://x/y"


def test_no_password_is_shown(make_settings):
    secrets = {
        "clickhouse_url": "http://attrikit:hush-1@clickhouse:8123/attrikit",
        "control_plane_url": "postgresql+psycopg://attrikit:hush-2@postgres/attrikit",
        "quota_redis_url": "redis://:hush-3@redis:6379/0",
        "export_url": "s3://key:hush-4@bucket/prefix",
        "operator_token": "hush-5",
        "webhook_key": "hush-6",
    }
    settings = make_settings(**secrets)
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings)
