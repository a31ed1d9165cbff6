"""What can be told without starting it; the real thing runs in tests/integration/launcher."""

import stat
import subprocess
from pathlib import Path

import pytest

from deploy.local import apache_kafka
from deploy.local.apache_kafka import fetch_jars, find_java, jars_folder, kafka_version
from deploy.local.process import LaunchError


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def only(tmp_path, monkeypatch) -> Path:
    """The one folder on the PATH; no JAVA_HOME; an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_it_is_apache_kafka_4():
    assert kafka_version().startswith("4.")


def test_a_missing_java_is_named(only):
    with pytest.raises(LaunchError, match="needs Java 17 or newer, and there is no java"):
        find_java()


@pytest.mark.parametrize(("said", "major"), [("1.8.0_402", 8), ("11.0.22", 11), ("16", 16)])
def test_an_old_java_is_named(only, said, major):
    program(only, "java", f"""echo 'openjdk version "{said}" 2024-01-16' >&2""")
    with pytest.raises(LaunchError, match=f"is Java {major}$"):
        find_java()


@pytest.mark.parametrize("said", ["17.0.15", "21", "25.0.1"])
def test_a_recent_java_is_taken(only, said):
    program(only, "java", f"""echo 'openjdk version "{said}" 2025-04-15' >&2""")
    assert find_java() == str(only / "java")


def test_something_else_called_java_is_refused(only):
    program(only, "java", "echo hello")
    with pytest.raises(LaunchError, match="is it a Java"):
        find_java()


def test_java_home_comes_first(only, tmp_path, monkeypatch):
    program(only, "java", """echo 'openjdk version "11"' >&2""")
    home = tmp_path / "jdk" / "bin"
    home.mkdir(parents=True)
    program(home, "java", """echo 'openjdk version "21"' >&2""")
    monkeypatch.setenv("JAVA_HOME", str(home.parent))
    assert find_java() == str(home / "java")


def test_a_missing_maven_is_named(only):
    with pytest.raises(LaunchError, match="there is no mvn"):
        fetch_jars()


def test_a_failed_download_says_why_and_is_not_taken_for_a_complete_one(only):
    program(only, "mvn", "echo '[INFO] ...'; echo '[ERROR] Could not resolve: no network'; exit 1")
    with pytest.raises(LaunchError, match=r"could not fetch Apache Kafka's jars: .*no network"):
        fetch_jars()
    assert not jars_folder().exists()


def test_jars_are_fetched_once(only, monkeypatch):
    calls = []

    def maven(argv, **_options):
        calls.append(argv)
        target = Path(next(word for word in argv if word.startswith("-DoutputDirectory=")).partition("=")[2])
        target.mkdir()
        (target / "kafka.jar").touch()
        return subprocess.CompletedProcess(argv, 0, "", "")

    program(only, "mvn", "exit 9")
    monkeypatch.setattr(apache_kafka.subprocess, "run", maven)
    folder = fetch_jars()
    assert [path.name for path in folder.iterdir()] == ["kafka.jar"]
    assert fetch_jars() == folder
    assert len(calls) == 1
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
