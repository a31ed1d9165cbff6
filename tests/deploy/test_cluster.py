"""The chart on a real API server: applied under Pod Security `restricted`, installed, upgraded, rolled back.

`make deploy-test` runs this. The operators' resources (ServiceMonitor, PrometheusRule, ScaledObject) are known to the
server by open stand-ins of their definitions, so their fields are not checked here.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from deploy_tools import ROOT
from kubernetes import Cluster, cluster

pytestmark = [
    pytest.mark.skipif("DEPLOY_TEST" not in os.environ, reason="make deploy-test runs it"),
    pytest.mark.timeout(900),
]
CHART = ROOT / "deploy" / "helm" / "attrikit"
MATRIX = sorted((Path(__file__).parent / "values").glob("*.yaml"))
DEFINITIONS = {
    "servicemonitors": ("ServiceMonitor", "monitoring.coreos.com", "v1"),
    "prometheusrules": ("PrometheusRule", "monitoring.coreos.com", "v1"),
    "scaledobjects": ("ScaledObject", "keda.sh", "v1alpha1"),
}
WAIT = ("--wait", "--wait-for-jobs", "--timeout", "3m")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        for plural, (kind, group, version) in DEFINITIONS.items():
            found.kubectl(
                "apply", "--server-side", "-f", "-", stdin=json.dumps(_definition(plural, kind, group, version))
            )
        yield found


def _definition(plural: str, kind: str, group: str, version: str) -> dict[str, object]:
    open_schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    served = {"name": version, "served": True, "storage": True, "schema": open_schema}
    spec = {"group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind}, "versions": [served]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": spec,
    }


@pytest.fixture
def namespace(server: Cluster, request: pytest.FixtureRequest) -> str:
    """A namespace in which a pod that is not restricted is refused."""
    name = "t-" + str(abs(hash(request.node.name)) % 10**8)
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    found = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    server.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(found))
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "own", "namespace": name}}
    server.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(account))
    return name


@pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)
def test_the_api_server_takes_every_object(server: Cluster, namespace: str, values: Path) -> None:
    rendered = server.helm("template", "attrikit", CHART, "-n", namespace, "--kube-version", "1.37.0", "-f", values)
    said = server.kubectl("apply", "--server-side", "--validate=strict", "-n", namespace, "-f", "-", stdin=rendered)
    assert said.count("serverside-applied") == sum(1 for document in yaml.safe_load_all(rendered) if document)


def test_a_pod_that_is_not_restricted_is_refused(server: Cluster, namespace: str) -> None:
    """The check above would notice: the server refuses a pod like ours that runs as root."""
    rendered = server.helm("template", "attrikit", CHART, "-n", namespace, "-f", MATRIX[0], "--kube-version", "1.37.0")
    pod = next(document for document in yaml.safe_load_all(rendered) if document and document["kind"] == "Pod")
    pod["spec"]["securityContext"] = {"runAsUser": 0}
    pod["spec"]["serviceAccountName"] = "own"
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        server.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=json.dumps(pod))


def test_install_upgrade_and_rollback(server: Cluster, namespace: str) -> None:
    values = ("-n", namespace, "-f", Path(__file__).parent / "values" / "minimal.yaml")
    server.helm("install", "shop", CHART, *values, *WAIT)
    assert _ready(server, namespace, "shop-attrikit-gateway") == 2
    first = _jobs(server, namespace)
    server.helm("upgrade", "shop", CHART, *values, "--set", "gateway.replicas=3", "--set", "logLevel=debug", *WAIT)
    assert _ready(server, namespace, "shop-attrikit-gateway") == 3
    second = _jobs(server, namespace)
    assert first.isdisjoint(second)
    server.helm("rollback", "shop", "1", "-n", namespace, *WAIT)
    assert _ready(server, namespace, "shop-attrikit-gateway") == 2
    budgets = json.loads(server.kubectl("get", "pdb", "-n", namespace, "-o", "json"))["items"]
    assert {budget["metadata"]["name"] for budget in budgets} >= {"shop-attrikit-gateway", "shop-attrikit-stream"}
    assert all(budget["spec"]["maxUnavailable"] == 1 for budget in budgets)


def _ready(server: Cluster, namespace: str, deployment: str) -> int:
    found = json.loads(server.kubectl("get", "deployment", deployment, "-n", namespace, "-o", "json"))
    return int(found["status"].get("readyReplicas", 0))


def _jobs(server: Cluster, namespace: str) -> set[str]:
    return {
        job["metadata"]["name"]
        for job in json.loads(server.kubectl("get", "job", "-n", namespace, "-o", "json"))["items"]
    }
