"""What is shipped, checked without running it: the chart over a matrix of values, alert rules, compose, Dockerfile."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import yaml
from clickhouse_over_chdb import standing_in_process
from deploy_tools import ROOT, tool

from deploy.cli.main import app
from deploy.cli.new_secrets import NAMES, kubernetes_manifest, new_values
from pipeline.runtime.environment import setting_names

pytestmark = pytest.mark.timeout(400)
CHART = ROOT / "deploy" / "helm" / "attrikit"
COMPOSE = ROOT / "deploy" / "compose"
MATRIX = sorted((Path(__file__).parent / "values").glob("*.yaml"))
EXAMPLES = sorted((CHART / "examples").glob("values-*.yaml"))
RESTRICTED = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
REFUSED = {
    "no store": ({}, "kafka.bootstrap"),
    "an unknown key": ({"gatway": {"replicas": 3}}, "gatway"),
    "an unknown key within": ({"gateway": {"replica": 3}}, "replica"),
    "scaled to zero": ({"stream": {"keda": {"minReplicas": 0}}}, "minReplicas"),
    "more workers than partitions": (
        {"evaluation": {"enabled": True}, "stream": {"replicas": 17}},
        "17 replicas of 16",
    ),
    "more loaders than partitions": (
        {"evaluation": {"enabled": True}, "loader": {"keda": {"enabled": True, "maxReplicas": 17}}},
        "17 replicas of 16",
    ),
    "both ways of scaling": ({"stream": {"autoscaling": {"enabled": True}}}, "autoscaling"),
    "exports of several pods in none": ({"evaluation": {"enabled": True}, "query": {"replicas": 2}}, "exports.url"),
    "two alerts": ({"evaluation": {"enabled": True}, "alerts": {"replicas": 2}}, "alerts"),
    "a setting that is none": ({"settings": {"LOG": "x"}}, "LOG"),
    "a login without a password": (
        {
            "kafka": {"bootstrap": "k:9092", "securityProtocol": "SASL_SSL"},
            "clickhouse": {"url": "http://c"},
            "postgres": {"url": "postgresql://p"},
        },
        "kafka.existingSecret",
    ),
    "shards of no cluster": (
        {"evaluation": {"enabled": True}, "clickhouse": {"sharded": True}},
        "clickhouse.cluster",
    ),
    "backups without a place": ({"evaluation": {"enabled": True}, "backup": {"enabled": True}}, "backup.url"),
}


def _template(*values: Path, release: str = "attrikit") -> list[dict[str, Any]]:
    files = [option for path in values for option in ("-f", path)]
    text = tool("helm", "template", release, CHART, "--namespace", "shop", "--kube-version", "1.34.0", *files)
    return [document for document in yaml.safe_load_all(text) if document]


def _pods(documents: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(document, pod spec) of everything that makes pods."""
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        pod = document["spec"] if document["kind"] == "Pod" else spec.get("template", {}).get("spec")
        if pod and document["kind"] in ("Pod", "Deployment", "StatefulSet", "Job", "CronJob"):
            yield document, pod


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def _is_ours(container: dict[str, Any]) -> bool:
    return "attrikit" in container["image"]


@pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)
def test_the_chart_renders(values: Path) -> None:
    tool("helm", "lint", CHART, "--strict", "-f", values)
    documents = _template(values)
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(names) == len(set(names))
    assert all(len(name) <= 63 for _, name in names)
    assert "Secret" not in {kind for kind, _ in names}


@pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)
def test_kubernetes_takes_what_it_renders(values: Path, tmp_path: Path) -> None:
    own = [document for document in _template(values) if not re.search(r"monitoring|keda", document["apiVersion"])]
    path = tmp_path / "rendered.yaml"
    path.write_text(yaml.safe_dump_all(own))
    tool("kubernetes-validate", "-k", "1.37", "--strict", "--quiet", path)


@pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)
def test_every_pod_is_restricted(values: Path) -> None:
    """Pod Security `restricted`, and more: a read-only root and no token of a service account."""
    for document, pod in _pods(_template(values)):
        where = document["metadata"]["name"]
        assert RESTRICTED.items() <= pod["securityContext"].items(), where
        assert pod["automountServiceAccountToken"] is False, where
        assert pod["enableServiceLinks"] is False, where
        for container in _containers(pod):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, where
            assert security["capabilities"] == {"drop": ["ALL"]}, where
            assert security.get("readOnlyRootFilesystem", False) is _is_ours(container), where
            assert "requests" in container["resources"], where


@pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)
def test_every_container_runs_a_command_with_settings_there_are(values: Path) -> None:
    commands: Any = typer.main.get_command(app)
    known = setting_names()
    for document, pod in _pods(_template(values)):
        mounted = _secret_paths(pod)
        for container in filter(_is_ours, _containers(pod)):
            found = commands
            for word in container["args"]:
                if not hasattr(found, "commands"):
                    break
                assert word in found.commands, (document["metadata"]["name"], word)
                found = found.commands.get(word)
            for variable in container.get("env", []):
                assert variable["name"] in known, variable["name"]
                if variable.get("value", "").startswith("/run/secrets/"):
                    assert variable["value"].rpartition("/")[2] in mounted[_secrets_of(container)], variable
            names = [variable["name"] for variable in container.get("env", [])]
            assert len(names) == len(set(names))


def _secret_paths(pod: dict[str, Any]) -> dict[str, set[str]]:
    return {
        volume["name"]: {
            item["path"] for source in volume["projected"]["sources"] for item in source["secret"]["items"]
        }
        for volume in pod.get("volumes", [])
        if "projected" in volume
    }


def _secrets_of(container: dict[str, Any]) -> str:
    return next(mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == "/run/secrets/attrikit")


@pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)
def test_rendering_twice_gives_the_same(values: Path) -> None:
    assert _template(values) == _template(values)


def test_a_changed_setting_rolls_the_pods_and_migrates_again(tmp_path: Path) -> None:
    changed = tmp_path / "changed.yaml"
    changed.write_text("settings: {ATTRIKIT_STALL_SECONDS: 60}")
    minimal = Path(__file__).parent / "values" / "minimal.yaml"
    before, after = _template(minimal), _template(minimal, changed)

    def checksums(documents: list[dict[str, Any]]) -> set[str]:
        return {
            document["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
            for document in documents
            if document["kind"] in ("Deployment", "StatefulSet")
        }

    def jobs(documents: list[dict[str, Any]]) -> set[str]:
        return {document["metadata"]["name"] for document in documents if document["kind"] == "Job"}

    assert checksums(before).isdisjoint(checksums(after))
    assert jobs(before).isdisjoint(jobs(after))


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_cannot_work_are_refused(name: str, tmp_path: Path) -> None:
    given, told = REFUSED[name]
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(given))
    with pytest.raises(AssertionError, match=re.escape(told)):
        tool("helm", "template", "attrikit", CHART, "-f", path)


def test_the_migrate_job_makes_the_tables_of_a_cluster_and_every_pod_is_told_of_it(tmp_path: Path) -> None:
    """The Job's own command and settings, with a stand-in of two shards for the cluster that the values name."""
    documents = _template(Path(__file__).parent / "values" / "cluster.yaml")
    for document, pod in _pods(documents):
        for container in _containers(pod):
            given = {variable["name"]: variable.get("value") for variable in container.get("env", [])}
            if "ATTRIKIT_CLICKHOUSE_URL_FILE" in given:
                told = (given.get("ATTRIKIT_CLICKHOUSE_CLUSTER"), given.get("ATTRIKIT_CLICKHOUSE_SHARDED"))
                assert told == ("tables", "true"), (document["metadata"]["name"], container["name"])
    (job,) = (pod for document, pod in _pods(documents) if document["kind"] == "Job")
    (container,) = job["containers"]
    environment = {each["name"]: each["value"] for each in container["env"] if not each["name"].endswith("_FILE")}
    with standing_in_process(tmp_path, shards=2) as url:
        environment |= {"ATTRIKIT_CLICKHOUSE_URL": f"{url}/attrikit", "ATTRIKIT_DATA_DIR": str(tmp_path)}
        environment["ATTRIKIT_CLICKHOUSE_CLUSTER"] = "main"  # the one that the stand-in has
        command = [sys.executable, "-m", "deploy.cli", *container["args"]]
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        tables = httpx.get(url, params={"query": "SHOW TABLES", "database": "attrikit"}, trust_env=False).text.split()
    assert {"events", "events_local"} <= set(tables)


def test_who_sends_traces_may_reach_their_collector_and_without_one_nobody_may() -> None:
    by_name = {path.stem: path for path in MATRIX}

    def may(name: str) -> set[str]:
        """Processes that may reach the port of a collector."""
        policies = [one for one in _template(by_name[name]) if one["kind"] == "NetworkPolicy"]
        return {
            policy["metadata"]["labels"]["app.kubernetes.io/component"]
            for policy in policies
            for rule in policy["spec"].get("egress", [])
            if {"protocol": "TCP", "port": 4318} in rule["ports"]
        }

    assert may("scaled") == {"gateway", "query", "stream", "loader", "webhooks"}
    assert may("minimal") == set()
    (settings,) = (
        one["data"]
        for one in _template(by_name["scaled"])
        if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "attrikit"
    )
    assert settings["ATTRIKIT_TRACES_ENDPOINT"] == "https://collector.shop.example:4318"
    assert settings["ATTRIKIT_TRACES_SAMPLE_RATIO"] == "0.1"


def test_the_examples_fit_together() -> None:
    documents = _template(*EXAMPLES)
    gateway = next(pod for document, pod in _pods(documents) if document["metadata"]["name"] == "attrikit-gateway")
    environment = {variable["name"]: variable["value"] for variable in gateway["containers"][0]["env"]}
    loader = next(pod for document, pod in _pods(documents) if document["metadata"]["name"] == "attrikit-loader")
    assert {"name": "ATTRIKIT_CLICKHOUSE_CLUSTER", "value": "attrikit"} in loader["containers"][0]["env"]
    assert environment["ATTRIKIT_KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    assert environment["ATTRIKIT_KAFKA_PASSWORD_FILE"] == "/run/secrets/attrikit/kafka-password"
    assert environment["ATTRIKIT_CONTROL_PLANE_URL_FILE"] == "/run/secrets/attrikit/postgres-url"
    for path in (CHART / "examples").glob("*.yaml"):
        assert list(yaml.safe_load_all(path.read_text()))


def test_the_secrets_that_are_made_are_those_the_chart_reads() -> None:
    values = new_values(lambda size: b"x" * size)
    held = set(yaml.safe_load(kubernetes_manifest(values, "attrikit"))["stringData"])
    documents = _template(Path(__file__).parent / "values" / "evaluation.yaml")
    read = {item["key"] for _, pod in _pods(documents) for item in _projected(pod)}
    read |= {
        variable["valueFrom"]["secretKeyRef"]["key"]
        for _, pod in _pods(documents)
        for container in _containers(pod)
        for variable in container.get("env", [])
        if "valueFrom" in variable
    }
    assert read <= held
    assert held - read == {"grafana-password"}


def _projected(pod: dict[str, Any]) -> Iterator[dict[str, str]]:
    for volume in pod.get("volumes", []):
        for source in volume.get("projected", {}).get("sources", []):
            yield from source["secret"]["items"]


def test_the_charts_readme_is_made_of_its_values(tmp_path: Path) -> None:
    for path in ("Chart.yaml", "values.yaml", "README.md.gotmpl"):
        (tmp_path / path).write_text((CHART / path).read_text())
    tool("helm-docs", "-c", tmp_path, "-s", "file", "-l", "error")
    assert (tmp_path / "README.md").read_text() == (CHART / "README.md").read_text(), "run helm-docs in the chart"


def test_prometheus_takes_the_alerts_and_they_fire_when_they_should() -> None:
    assert "19 rules found" in tool("promtool", "check", "rules", CHART / "files" / "rules.yaml")
    assert "SUCCESS" in tool("promtool", "test", "rules", ROOT / "tests" / "deploy" / "rules_test.yaml")


def test_the_scrape_configuration_is_prometheus_own(tmp_path: Path) -> None:
    text = (
        (COMPOSE / "prometheus.yaml")
        .read_text()
        .replace("/etc/prometheus/rules.yaml", str(CHART / "files" / "rules.yaml"))
    )
    (tmp_path / "prometheus.yaml").write_text(
        text.replace("/run/secrets/metrics_token", str(tmp_path / "prometheus.yaml"))
    )
    tool("promtool", "check", "config", tmp_path / "prometheus.yaml")


def test_compose_takes_its_file() -> None:
    secrets = {name.replace("-", "_").upper(): "x" for name in NAMES}
    file = ("-f", COMPOSE / "compose.yaml")
    text = tool("docker-compose", *file, "--profile", "monitoring", "config", "--format", "json", environment=secrets)
    found = json.loads(text)
    assert {"kafka", "clickhouse", "gateway", "worker", "prometheus", "grafana"} <= set(found["services"])
    with pytest.raises(AssertionError, match="attrikit secrets init"):
        tool("docker-compose", *file, "config", "-q", environment=dict.fromkeys(secrets, ""))


def test_the_dockerfile_is_clean() -> None:
    tool("hadolint", ROOT / "deploy" / "docker" / "Dockerfile")
