"""A real Kubernetes API server with its etcd, controller manager and scheduler, and kwok in place of the nodes.

No container runs: kwok says of pods what a kubelet would say. Network policies are stored and not enforced.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which

import pytest
import yaml
from deploy_tools import PATH, tool

from deploy.local.ports import free_port

PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "kwok",
    "helm",
    "openssl",
    "go",
)
_KWOK = "v0.8.0"
_VOLUMES = 60
"""More than the claims of all sets of values together, which stay until the cluster ends."""
_READY_SECONDS = 300.0
_END_SECONDS = 20.0
_CONTROLLERS = ",".join(
    f"{name}-controller"
    for name in (
        *("deployment", "replicaset", "statefulset", "job", "cronjob", "disruption", "serviceaccount"),
        *("endpointslice", "garbage-collector", "persistentvolume-binder"),
    )
)


class Cluster:
    """Commands against the API server, as its administrator."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def kubectl(self, *arguments: object, stdin: str | None = None) -> str:
        return tool("kubectl", "--kubeconfig", self.kubeconfig, *arguments, stdin=stdin)

    def helm(self, *arguments: object) -> str:
        return tool("helm", *arguments, environment={"KUBECONFIG": str(self.kubeconfig)}, seconds=240)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Run a cluster of one node of kwok; skip where a program is missing."""
    missing = [program for program in PROGRAMS if which(program, path=PATH) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (tests/deploy/install_tools.sh live)")
    etcd, peers, port = free_port(), free_port(), free_port()
    tool("openssl", "genrsa", "-out", folder / "sa.key", 2048)
    tool("openssl", "rsa", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub")
    (folder / "tokens.csv").write_text('token,admin,1,"system:masters"\n')
    found = Cluster(_kubeconfig(folder, port))
    with ExitStack() as programs:

        def run(name: str, *flags: str) -> None:
            programs.enter_context(_program(folder, name, *flags))

        store, own = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peers}"
        peer = ("--listen-peer-urls", own, "--initial-advertise-peer-urls", own, "--initial-cluster", f"default={own}")
        run(
            *("etcd", "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"),
            *("--listen-client-urls", store, "--advertise-client-urls", store, *peer),
        )
        run(
            *("kube-apiserver", f"--etcd-servers={store}", f"--secure-port={port}", "--bind-address=127.0.0.1"),
            *(f"--cert-dir={folder / 'certificates'}", f"--token-auth-file={folder / 'tokens.csv'}"),
            *(
                "--authorization-mode=RBAC",
                "--endpoint-reconciler-type=none",
                # Nothing would take a new node's taint away again: that controller looks for kubelets.
                "--disable-admission-plugins=TaintNodesByCondition",
                "--service-cluster-ip-range=10.96.0.0/16",
            ),
            *(f"--service-account-key-file={folder / 'sa.pub'}", "--service-account-issuer=https://kubernetes.test"),
            f"--service-account-signing-key-file={folder / 'sa.key'}",
        )
        _until_ready(found)
        known = f"--kubeconfig={found.kubeconfig}"
        leads = ("--leader-elect=false", "--secure-port=0")
        run("kube-controller-manager", known, *leads, f"--controllers={_CONTROLLERS}")
        run("kube-scheduler", known, *leads)
        run("kwok", known, "--manage-all-nodes=true", *(f"--config={path}" for path in _stages()))
        objects = [_NODE, *(_volume(number) for number in range(_VOLUMES))]
        found.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(objects))
        yield found


_NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "node-1", "annotations": {"kwok.x-k8s.io/node": "fake"}},
    "status": {
        "allocatable": {"cpu": "64", "memory": "256Gi", "pods": "200"},
        "capacity": {"cpu": "64", "memory": "256Gi", "pods": "200"},
    },
}


def _volume(number: int) -> dict[str, object]:
    spec = {"capacity": {"storage": "100Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": f"/v/{number}"}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"volume-{number}"}, "spec": spec}


def _stages() -> list[Path]:
    """Files of kwok's own that say how nodes and pods come to life, in the module it was built from."""
    modules = Path(tool("go", "env", "GOMODCACHE").strip())
    stages = modules / f"sigs.k8s.io/kwok@{_KWOK}" / "kustomize" / "stage"
    names = ("node/fast/node-initialize", "node/heartbeat/node-heartbeat", "pod/fast/pod-ready")
    return [stages / f"{name}.yaml" for name in (*names, "pod/fast/pod-complete", "pod/fast/pod-delete")]


def _kubeconfig(folder: Path, port: int) -> Path:
    path = folder / "kubeconfig"
    server = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": server}],
        "users": [{"name": "admin", "user": {"token": "token"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }
    path.write_text(yaml.safe_dump(content))
    return path


@contextmanager
def _program(folder: Path, name: str, *flags: str) -> Iterator[None]:
    path = which(name, path=PATH)
    assert path is not None
    with (
        (folder / f"{name}.log").open("wb") as log,
        subprocess.Popen([path, *flags], stdout=log, stderr=log) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _until_ready(found: Cluster) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            found.kubectl("get", "--raw", "/readyz")
            found.kubectl("get", "namespace", "default")
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
