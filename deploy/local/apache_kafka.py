"""Apache Kafka as a child process: one node in KRaft mode, its jars fetched by Maven once."""

import os
import re
import secrets
import shutil
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from deploy.local.broker import Broker
from deploy.local.ports import free_port
from deploy.local.process import LaunchError

_HERE: Final = Path(__file__).with_name("kafka")
_POM: Final = _HERE / "pom.xml"
_OLDEST_JAVA: Final = 17
_FETCH_SECONDS: Final = 900
_FORMAT_SECONDS: Final = 60
_HEAP: Final = ("-Xms128m", "-Xmx512m")


class KafkaBroker(Broker):
    """Apache Kafka on one port of this machine, its data in `data_dir`.

    `properties`: further lines of its configuration, which go before ours. `format_options`: further options for the
    command that formats its storage. `cluster_id`: that of the cluster whose other nodes run elsewhere.
    """

    ready_seconds = 60.0
    stop_seconds = 30.0

    def __init__(
        self,
        data_dir: Path,
        log_path: Path,
        port: int | None = None,
        pass_fds: tuple[int, ...] = (),
        *,
        properties: Sequence[str] = (),
        format_options: Sequence[str] = (),
        cluster_id: str = "",
    ) -> None:
        self._java = find_java()
        self._jars = fetch_jars()
        self._more_properties = tuple(properties)
        self._format_options = tuple(format_options)
        self._cluster_id = cluster_id or new_cluster_id()
        self._properties = data_dir.resolve() / "server.properties"
        argv = self._command("kafka.Kafka", str(self._properties))
        super().__init__(argv, data_dir.resolve(), log_path, port or free_port(), pass_fds)

    @property
    def description(self) -> str:
        return f"Apache Kafka {kafka_version()} (KRaft, one node)"

    def _prepare(self) -> None:
        self._write_properties()
        if not (self._data_dir / "log" / "meta.properties").exists():
            self._format()

    def _command(self, main: str, *arguments: str) -> list[str]:
        # Kafka 4 asks for the compact flags of its own start script; these are the ones that matter for one node.
        return [
            self._java,
            *_HEAP,
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={_HERE / 'log4j2.properties'}",
            "-cp",
            f"{self._jars}/*",
            main,
            *arguments,
        ]

    def _write_properties(self) -> None:
        controller_port = free_port()
        lines = [
            (_HERE / "server.properties").read_text(),
            f"listeners=PLAINTEXT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{controller_port}",
            f"controller.quorum.voters=1@127.0.0.1:{controller_port}",
            f"log.dirs={self._data_dir / 'log'}",
            *self._more_properties,
        ]
        self._properties.write_text("\n".join(lines) + "\n")

    def _format(self) -> None:
        # In one piece: one id in 64 begins with a hyphen and would be taken for an option.
        tool = self._command("kafka.tools.StorageTool", "format", f"--cluster-id={self._cluster_id}")
        argv = [*tool, "-c", str(self._properties), *self._format_options]
        _run(argv, _FORMAT_SECONDS, "Kafka's storage could not be formatted")


def new_cluster_id() -> str:
    return urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")


def kafka_version() -> str:
    """Return the version that the POM names."""
    found = re.search(r"<kafka\.version>([^<]+)<", _POM.read_text())
    if found is None:
        raise LaunchError(f"{_POM} names no kafka.version")
    return found.group(1)


def find_java() -> str:
    """Return the path of a Java that can run Kafka 4; raises `LaunchError` saying what is needed."""
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    path = path or shutil.which("java")
    if path is None:
        raise LaunchError(f"Apache Kafka needs Java {_OLDEST_JAVA} or newer, and there is no java on the PATH")
    major = _java_major(path)
    if major < _OLDEST_JAVA:
        raise LaunchError(f"Apache Kafka needs Java {_OLDEST_JAVA} or newer; {path} is Java {major}")
    return path


def _java_major(path: str) -> int:
    said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r'version "(\d+)(?:\.(\d+))?', said.stderr + said.stdout)
    if found is None:
        raise LaunchError(f"{path} -version says nothing of a version: is it a Java?")
    first, second = int(found.group(1)), int(found.group(2) or 0)
    return second if first == 1 else first


def jars_folder() -> Path:
    """Return the folder of the jars of this POM, which may not exist yet: below the user's cache, so every data folder
    shares them.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = sha256(_POM.read_bytes()).hexdigest()[:8]
    return cache / "attrikit" / f"kafka-{kafka_version()}-{digest}"


def fetch_jars() -> Path:
    """Return the folder of the jars. The first call downloads them with Maven; later ones need no network."""
    folder = jars_folder()
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise LaunchError("Apache Kafka's jars are fetched with Maven, and there is no mvn on the PATH")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Fetched beside and renamed when whole: a download cut short is never taken for a complete one.
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        target = Path(scratch) / "lib"
        goals = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}"]
        _run([maven, "-q", "-B", "-f", str(_POM), *goals], _FETCH_SECONDS, "Maven could not fetch Apache Kafka's jars")
        if not folder.is_dir():
            target.rename(folder)
    return folder


def _run(argv: list[str], timeout_seconds: float, failure: str) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise LaunchError(f"{failure}: no end after {timeout_seconds:.0f} s") from error
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        reason = next((line for line in lines if "ERROR" in line or "Exception" in line), lines[-1] if lines else "")
        raise LaunchError(f"{failure}: {reason.strip()}")
