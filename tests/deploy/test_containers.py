"""The image and the compose file for real: traffic through containers, the ledger, an orderly stop, a second start.

Where no image registry can be reached, the image is built on a base made from Debian's packages, and the stores are
stand-ins: Apache Kafka as its jars, PostgreSQL and Redis as Debian's packages, chDB behind an HTTP server in
ClickHouse's place. `make deploy-test` runs this.
"""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from deploy_tools import ROOT, tool

from deploy.cli.new_secrets import env_file, new_values
from deploy.demo.generator import Plan, generate
from deploy.demo.poster import Poster, parcels
from deploy.local.apache_kafka import fetch_jars
from deploy.local.ports import free_port
from pipeline.runtime.clock import now_ms

pytestmark = [
    pytest.mark.skipif("DEPLOY_TEST" not in os.environ, reason="make deploy-test runs it"),
    pytest.mark.timeout(2_400),
]
STAND_INS = ROOT / "tests" / "deploy" / "stand_ins"
FILES = ("-f", str(ROOT / "deploy" / "compose" / "compose.yaml"), "-f", str(STAND_INS / "compose.yaml"))
PROCESSES = ("gateway", "query", "worker", "loader", "webhooks", "alerts", "console")
STORES = ("kafka", "clickhouse", "postgres", "redis")
BASE = "attrikit-test-debian"
MOST_MEGABYTES = 400
EVENTS = 2_000
BUILD_SECONDS = 1_500
Compose = Callable[..., str]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`DOCKER_HOST` of the engine that runs, or of one started for the tests where that may be."""
    given = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if _answers(given):
        yield given
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip(f"no Docker engine at {given}; to start one takes root and dockerd (Debian: docker.io)")
    folder = tmp_path_factory.mktemp("docker")
    own = f"unix://{folder}/docker.sock"
    flags = [f"--data-root={folder}/data", f"--exec-root={folder}/run", f"--pidfile={folder}/pid", f"--host={own}"]
    with _running(["dockerd", *flags], folder / "log"):
        _wait_for(lambda: _answers(own), "dockerd")
        yield own


def _answers(host: str) -> bool:
    asked = subprocess.run(["docker", "-H", host, "version"], capture_output=True, check=False)
    return asked.returncode == 0


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def _wait_for(condition: Callable[[], bool], what: str, seconds: int = 60) -> None:
    for _ in range(seconds * 2):
        if condition():
            return
        subprocess.run(["sleep", "0.5"], check=False)
    raise AssertionError(f"{what}: not within {seconds} s")


@pytest.fixture(scope="module")
def images(engine: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the base, the image and the stand-ins; return the engine."""
    environment = {"DOCKER_HOST": engine, "DOCKER_BUILDKIT": "1"}
    if not tool("docker", "images", "-q", BASE, environment=environment):
        folder = tmp_path_factory.mktemp("base")
        packages = "--include=python3,python3-venv,ca-certificates"
        tool("debootstrap", "--variant=minbase", packages, "bookworm", folder, seconds=BUILD_SECONDS)
        # The package index may be reached through certificates that only this machine knows.
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", folder / "etc" / "ssl" / "certs")
        for waste in (
            "var/cache/apt/archives",
            "var/lib/apt/lists",
            "usr/share/doc",
            "usr/share/man",
            "usr/share/locale",
        ):
            shutil.rmtree(folder / waste, ignore_errors=True)
        archive = folder.parent / "base.tar"
        tool("tar", "-C", folder, "-cf", archive, ".", seconds=BUILD_SECONDS)
        tool("docker", "import", archive, BASE, environment=environment, seconds=BUILD_SECONDS)
    for name, lock in (("attrikit-test", "requirements-cluster.lock"), ("attrikit-test-embedded", "requirements.lock")):
        settings = (f"BASE={BASE}", f"IMAGE={name}", f"LOCK_FILE={lock}", f"PIP_CONF={_pip_conf(tmp_path_factory)}")
        tool("make", "-s", "image", *settings, environment=environment, seconds=BUILD_SECONDS)
    context = tmp_path_factory.mktemp("stand-ins") / "context"
    shutil.copytree(STAND_INS, context)
    shutil.copytree(fetch_jars(), context / "jars")
    shutil.copy(ROOT / "deploy" / "local" / "kafka" / "log4j2.properties", context)
    shutil.copy(ROOT / "tests" / "support" / "clickhouse_over_chdb.py", context)
    for store in STORES:
        arguments = ("--build-arg", f"BASE={BASE}", "--build-arg", f"ATTRIKIT=attrikit-test-embedded:{_version()}")
        build = ("build", "--network", "host", *arguments, "--target", store, "-t", f"stand-in-{store}", context)
        tool("docker", *build, environment=environment, seconds=BUILD_SECONDS)
    return engine


def _pip_conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pip") / "pip.conf"
    path.write_text("[global]\ntimeout = 180\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    return path


def _version() -> str:
    return next(
        line.split('"')[1]
        for line in (ROOT / "pyproject.toml").read_text().splitlines()
        if line.startswith("version = ")
    )


@pytest.fixture(scope="module")
def compose(images: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """The product's containers, in a project of their own."""
    secrets = tmp_path_factory.mktemp("compose") / "env"
    secrets.write_text(env_file(new_values(os.urandom)))
    environment = {
        "DOCKER_HOST": images,
        "IMAGE": f"attrikit-test:{_version()}",
        "LISTEN": f"127.0.0.1:{free_port()}",
        "CONSOLE_LISTEN": f"127.0.0.1:{free_port()}",
        **{f"{store.upper()}_IMAGE": f"stand-in-{store}" for store in STORES},
    }

    def run(*arguments: str) -> str:
        command = ("--project-name", "attrikit-test", "--env-file", secrets, *FILES, *arguments)
        return tool("docker-compose", *command, environment=environment, seconds=400)

    run.address = f"http://{environment['LISTEN']}"  # type: ignore[attr-defined]
    try:
        yield run
    finally:
        run("down", "--volumes", "--timeout", "20")


def test_the_image_is_small_and_holds_no_installer(images: str) -> None:
    environment = {"DOCKER_HOST": images}
    image = f"attrikit-test:{_version()}"
    size = int(tool("docker", "inspect", "-f", "{{.Size}}", image, environment=environment))
    assert size < MOST_MEGABYTES * 1_000_000
    look = "id -u; ! command -v pip pip3 gcc cc strip; ls /opt/attrikit/sbom.cdx.json; touch /x 2>&1 || true"
    hardened = ("--read-only", "--cap-drop=ALL", "--network=none", "--entrypoint", "sh")
    said = tool("docker", "run", "--rm", *hardened, image, "-c", look, environment=environment)
    assert said.startswith("10001\n/opt/attrikit/sbom.cdx.json\n")
    assert "Read-only" in said
    python = ("--rm", "--entrypoint", "python", image, "-c", "import pip")
    with pytest.raises(AssertionError, match="No module named 'pip'"):
        tool("docker", "run", *python, environment=environment)


def test_the_whole_product_in_containers(compose: Compose, images: str) -> None:
    """Traffic, a ledger that balances, an orderly stop of each process, a second start that goes on with the data, and
    a restore of a backup after two of the stores were lost.
    """
    compose("up", "--detach", "--wait", "--wait-timeout", "300")
    compose("exec", "-T", "gateway", "attrikit", "apps", "create", "demo")
    key = compose("exec", "-T", "gateway", "attrikit", "keys", "create", "--app", "demo").split()[-1]
    # What the pod of `helm test` runs. Its own key is newer: once the gateway knows that, it knows ours.
    smoke = ("smoke", "--app", "smoke", "--url", "http://gateway:8000")
    assert "readable evt_smoke_" in compose("run", "--rm", "--no-deps", "migrate", *smoke)
    address: str = compose.address  # type: ignore[attr-defined]
    asyncio.run(_post(address, key, seed=1))
    _balances(compose)

    compose("stop", "--timeout", "120", *PROCESSES)
    for process in PROCESSES:
        name = f"attrikit-test-{process}-1"
        state = tool("docker", "inspect", "-f", "{{.State.ExitCode}}", name, environment={"DOCKER_HOST": images})
        assert state.strip() == "0", compose("logs", "--tail", "20", process)
    assert '"everything_committed": true' in compose("logs", "--tail", "3", "loader")

    assert "is complete" in compose("run", "--rm", "backup")
    checked = ("restore", "/var/lib/attrikit/backups", "--check")
    assert "nothing of the backup is missing" in compose("run", "--rm", "backup", *checked)

    compose("stop")
    compose("up", "--detach", "--wait", "--wait-timeout", "300")
    asyncio.run(_post(address, key, seed=2))
    _balances(compose)

    # ClickHouse and PostgreSQL are lost with their volumes. Kafka is there and has what came since the backup.
    compose("down")
    for lost in ("clickhouse", "postgres"):
        tool("docker", "volume", "rm", f"attrikit-test_{lost}", environment={"DOCKER_HOST": images})
    compose("up", "--detach", "--wait", "--wait-timeout", "300", *STORES)
    told = compose("run", "--rm", "backup", "restore", "/var/lib/attrikit/backups")
    assert re.search(r"^events: [\d,]+ records since the backup will be loaded from Kafka$", told, re.MULTILINE)
    assert "nothing of the backup is missing" in told
    compose("up", "--detach", "--wait", "--wait-timeout", "300")
    asyncio.run(_post(address, key, seed=3))
    _balances(compose)


async def _post(address: str, key: str, seed: int) -> None:
    sendings = generate(Plan(end_ms=now_ms(), events=EVENTS, seed=seed))
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=15.0, trust_env=False) as client:
        posted = await Poster(client).post_all(parcels(sendings, seed), lambda _count: None)
    assert posted.sent >= EVENTS


def _balances(compose: Compose) -> None:
    assert "settled" in compose("exec", "-T", "gateway", "attrikit", "progress", "--wait")
    assert "the books balance" in compose("exec", "-T", "gateway", "attrikit", "ledger")
