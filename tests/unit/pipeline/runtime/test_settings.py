import os
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from pipeline.runtime.connection_settings import ProcessSettings
from pipeline.runtime.environment import BadEnvironment, read_settings, secret_settings, unknown_variables
from pipeline.runtime.settings import (
    GatewaySettings,
    LoaderSettings,
    QuerySettings,
    Settings,
    WebhooksSettings,
    WorkerSettings,
)

EXAMPLE = Path(__file__).parents[4] / ".env.example"


def example_lines() -> list[str]:
    return [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]


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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ATTRIKIT_PARTITION", "did you mean ATTRIKIT_PARTITIONS?"),
        ("attrikit_prot", "did you mean ATTRIKIT_PORT?"),
        ("ATTRIKIT_API_KEYS", "did you mean ATTRIKIT_API_KEY?"),
        ("ATTRIKIT_COLOUR_OF_THE_SKY", "no such setting, see SETTINGS.md"),
    ],
)
def test_a_setting_there_is_not_is_named_with_the_nearest(name, said):
    (problem,) = unknown_variables({name: "1", "PATH": "/bin", "ATTRIKIT_PORT": "1"})
    assert problem.startswith(f"{name}: no such setting")
    assert said in problem


def test_variables_of_tests_and_of_kubernetes_are_no_settings_and_no_mistakes():
    links = {
        "SERVICE_HOST": "10.0.0.1",
        "SERVICE_PORT": "80",
        "PORT": "tcp://10.0.0.1:80",
        "PORT_80_TCP_ADDR": "10.0.0.1",
    }
    given = {f"ATTRIKIT_GATEWAY_{name}": value for name, value in links.items()}
    assert unknown_variables(given | {"ATTRIKIT_TEST_SEED": "1", "ATTRIKIT_API_URL": "x", "attrikit_port": "1"}) == []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "kafka_bootstrap",
            ["kafka-1:9092,kafka-2:9092", "[::1]:9092"],
            ["kafka", "kafka://k:1", "k:9092,", "", "k:99999"],
        ),
        ("clickhouse_url", ["", "https://u:p@h:8443,[::1]:1,i/db"], ["mysql://h/db", "h:8123", "http://h:1,i:x/db"]),
        ("control_plane_url", ["", "sqlite:////tmp/x", "postgresql://u:p@h/db"], ["mysql://h/db", "x.db"]),
        ("query_url", ["", "http://127.0.0.1:1"], ["127.0.0.1:1", "ftp://x"]),
        ("export_url", ["", "s3://bucket/prefix", "file:///folder"], ["ftp://x", "/folder"]),
        ("webhook_allowed_networks", ["", "10.1.0.0/16,127.0.0.1"], ["localhost"]),
        ("webhook_retry_seconds", ["", "5,300,0.5"], ["soon", "5;300", "-1", "nan", "0", "604801", "1," * 101]),
        ("quota_redis_url", ["", "redis://:p@h:1/0"], ["http://h", "h:6379", "redis://h:1/0?socket_timeout=x"]),
    ],
)
def test_addresses_are_of_the_kind_that_is_used(make_settings, name, good, bad):
    for value in good:
        assert make_settings(**{name: value}).as_environment()[f"ATTRIKIT_{name.upper()}"] == value
    for value in bad:
        with pytest.raises(ValidationError):
            make_settings(**{name: value})


ABSURD = [
    "0",
    "-1",
    "-0.0",
    "nan",
    "inf",
    "-inf",
    "1e308",
    "9" * 400,
    str(2**63),
    str(2**50),
    "1e-300",
    "",
    " ",
    "x",
    "💥",
]
ABSURD += ["0,0", "1,,2", "1e9", "http://", "http://[", "redis://h:1/x?socket_timeout=x", "s3://", "file://", "a:99999"]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_an_absurd_value_is_refused_in_one_line_or_can_be_used(name, monkeypatch):
    for value in ABSURD:
        monkeypatch.setenv(f"ATTRIKIT_{name.upper()}", value)
        try:
            settings = read_settings(Settings, os.environ)
        except BadEnvironment as error:
            (problem,) = error.problems
            assert problem.startswith(f"ATTRIKIT_{name.upper()}: ")
            assert "\n" not in problem
            continue
        found = getattr(settings, name)
        if isinstance(found, float):
            assert abs(found * 1000) < 2**31
        if isinstance(found, int):
            assert abs(found) <= 2**50
        assert all(0 < delay <= 7 * 86_400 for delay in settings.webhook_retries())


def test_a_secret_can_lie_in_a_file(make_settings, tmp_path):
    file = tmp_path / "password"
    file.write_text(" hush # 1 \r\n")
    for path, password in ((str(file), " hush # 1 "), ("", "")):
        found = read_settings(LoaderSettings, {"ATTRIKIT_KAFKA_PASSWORD_FILE": path})
        assert found.kafka_password.get_secret_value() == password


@pytest.mark.parametrize("name", sorted(secret_settings()))
def test_every_secret_can_lie_in_a_file(name):
    assert unknown_variables({f"ATTRIKIT_{name.upper()}_FILE": "x"}) == []


def test_what_is_no_secret_cannot_lie_in_a_file():
    assert len(unknown_variables({"ATTRIKIT_PORT_FILE": "x"})) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ATTRIKIT_KAFKA_PASSWORD": "x"}, "ATTRIKIT_KAFKA_PASSWORD is set too; set one of them"),
        ({}, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(make_settings, tmp_path, given, said):
    missing = str(tmp_path / "missing")
    with pytest.raises(BadEnvironment) as caught:
        read_settings(Settings, {"ATTRIKIT_KAFKA_PASSWORD_FILE": missing} | given)
    (problem,) = caught.value.problems
    assert problem.startswith("ATTRIKIT_KAFKA_PASSWORD_FILE: ")
    assert said in problem


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"PROTOCOL": "SASL_SSL", "USERNAME": "u"},
            "KAFKA_USERNAME and KAFKA_PASSWORD: needed for SASL_SSL with SCRAM",
        ),
        ({"PROTOCOL": "SASL_SSL", "MECHANISM": "OAUTHBEARER"}, "KAFKA_TOKEN_URL or KAFKA_TOKEN_PATH: needed for SASL"),
    ],
)
def test_a_login_without_what_it_needs_is_refused(make_settings, monkeypatch, given, said):
    names = {"PROTOCOL": "SECURITY_PROTOCOL", "MECHANISM": "SASL_MECHANISM"}
    for name, value in given.items():
        monkeypatch.setenv(f"ATTRIKIT_KAFKA_{names.get(name, name)}", value)
    with pytest.raises(BadEnvironment) as caught:
        read_settings(Settings, os.environ)
    (problem,) = caught.value.problems
    assert problem.startswith(f"ATTRIKIT_{said}")


def test_shards_of_no_cluster_are_refused(make_settings, monkeypatch):
    monkeypatch.setenv("ATTRIKIT_CLICKHOUSE_SHARDED", "true")
    with pytest.raises(BadEnvironment) as caught:
        read_settings(Settings, os.environ)
    assert caught.value.problems == ["ATTRIKIT_CLICKHOUSE_CLUSTER: needed for CLICKHOUSE_SHARDED"]


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
        "metrics_token": "hush-7",
        "kafka_password": "hush-8",
        "kafka_key_password": "hush-9",
    }
    assert secrets.keys() == secret_settings()
    settings = make_settings(**secrets)
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings)
    assert {name for name in Settings.model_fields if isinstance(getattr(settings, name), SecretStr)} == set(secrets)


def test_a_process_reads_its_own_settings_alone(monkeypatch):
    monkeypatch.setenv("ATTRIKIT_WEBHOOK_TIMEOUT_SECONDS", "soon")
    monkeypatch.setenv("ATTRIKIT_OPERATOR_TOKEN", "hush")
    assert "operator_token" not in read_settings(GatewaySettings, os.environ).model_dump()
    with pytest.raises(BadEnvironment, match="ATTRIKIT_WEBHOOK_TIMEOUT_SECONDS"):
        read_settings(WebhooksSettings, os.environ)


def test_a_process_holds_no_secret_of_another():
    def secrets(kind: type[ProcessSettings]) -> set[str]:
        return {name for name, value in kind() if isinstance(value, SecretStr)}

    kafka = {"kafka_password", "kafka_key_password"}
    assert secrets(GatewaySettings) == kafka | {"control_plane_url", "quota_redis_url", "metrics_token"}
    assert secrets(WorkerSettings) == kafka | {"control_plane_url"}
    assert secrets(LoaderSettings) == kafka | {"clickhouse_url"}
    assert secrets(WebhooksSettings) == kafka | {"control_plane_url", "webhook_key"}
    assert secrets(QuerySettings) == secrets(Settings) - kafka


def test_another_process_gets_every_setting_by_its_environment(make_settings, monkeypatch):
    given = make_settings(operator_token="hush", partitions=7, public_metrics=True)
    for name, value in given.as_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == given
