"""Child processes and the data folder's lock, with real processes."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from deploy.local.folder import DataFolder
from deploy.local.process import ChildEnded, ChildProcess, LaunchError, describe_exit
from deploy.local.trim import resident_bytes


def python(tmp_path: Path, script: str, **options) -> ChildProcess:
    return ChildProcess("child", [sys.executable, "-c", textwrap.dedent(script)], tmp_path / "child.log", **options)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def said(child: ChildProcess, word: str) -> bool:
    return word in child.log_tail()


def test_an_orderly_stop_lets_it_finish(tmp_path):
    child = python(
        tmp_path,
        """
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: (print("drained", flush=True), sys.exit(0)))
        print("up", flush=True)
        while True: signal.pause()
        """,
    )
    child.start()
    child.wait_until(lambda: said(child, "up"), 20)
    assert child.is_running
    assert child.stop(20) == 0
    assert child.log_tail() == ["up", "drained"]


def test_one_that_does_not_listen_is_killed_with_its_whole_group(tmp_path, wait):
    child = python(
        tmp_path,
        """
        import signal, subprocess, sys
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
        signal.pause()
        """,
    )
    child.start()
    child.wait_until(lambda: child.log_tail(), 20)
    grandchild = int(child.log_tail()[0])
    assert child.stop(0.2) == -signal.SIGKILL
    wait(lambda: not is_alive(grandchild))


def test_what_one_that_ends_by_itself_leaves_running_is_killed_when_its_end_is_noticed(tmp_path, wait):
    child = python(
        tmp_path,
        """
        import subprocess, sys
        print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
        """,
    )
    child.start()
    wait(lambda: child.exit_code == 0)
    wait(lambda: not is_alive(int(child.log_tail()[0])))


def test_once_its_end_was_noticed_its_number_gets_no_signal_any_more(tmp_path, wait, monkeypatch):
    """The number may be another process's by then."""
    child = python(tmp_path, "")
    child.start()
    wait(lambda: not child.is_running)
    sent = []
    monkeypatch.setattr(os, "kill", lambda *call: sent.append(call))
    monkeypatch.setattr(os, "killpg", lambda *call: sent.append(call))
    child.signal(signal.SIGTERM)
    assert child.stop(1) == 0
    assert child.kill() == 0
    assert sent == []


def test_waiting_for_one_that_ends_tells_how_it_ended(tmp_path):
    child = python(tmp_path, "print('oh no'); raise SystemExit(3)")
    child.start()
    with pytest.raises(ChildEnded, match="child ended with exit code 3"):
        child.wait_until(lambda: False, 20)
    assert child.log_tail() == ["oh no"]


def test_waiting_ends_at_its_limit(tmp_path):
    child = python(tmp_path, "import time; time.sleep(600)")
    child.start()
    with pytest.raises(LaunchError, match="child was not ready after 0 s"):
        child.wait_until(lambda: False, 0)
    child.kill()


def test_exits_in_words():
    assert describe_exit(0) == "exit code 0"
    assert describe_exit(-9) == "signal SIGKILL"


def test_stopping_what_never_started_is_nothing(tmp_path):
    child = python(tmp_path, "")
    assert child.stop(1) is None
    assert child.exit_code is None
    assert child.log_tail() == []


def test_a_big_log_is_put_aside_once(tmp_path):
    log = tmp_path / "child.log"
    with log.open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    child = python(tmp_path, "print('new')")
    child.start()
    child.stop(20)
    assert log.stat().st_size < 100
    assert (tmp_path / "child.old.log").stat().st_size == 17 * 1024 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal")
def test_it_does_not_outlive_a_killed_parent(tmp_path, wait):
    script = f"""
        import signal, sys
        from pathlib import Path
        from deploy.local.process import ChildProcess
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        child = ChildProcess("child", sleep, Path({str(tmp_path / "x.log")!r}))
        child.start()
        print(child.pid, flush=True)
        signal.pause()
        """
    parent = python(tmp_path, script)
    parent.start()
    parent.wait_until(lambda: parent.log_tail(), 20)
    child = int(parent.log_tail()[0])
    assert is_alive(child)
    os.kill(parent.pid, signal.SIGKILL)
    wait(lambda: not is_alive(child))


def test_the_memory_of_a_process():
    assert resident_bytes(os.getpid()) > 10_000_000
    assert resident_bytes(2**22 + 1) == 0


def test_a_folder_is_taken_once(tmp_path):
    first = DataFolder.open(tmp_path / "new" / "data", print)
    with pytest.raises(LaunchError, match=rf"another run \(process {os.getpid()}\)"):
        DataFolder.open(tmp_path / "new" / "data", print)
    first.release()
    DataFolder.open(tmp_path / "new" / "data", print).release()


def test_what_a_killed_run_left_behind_is_waited_for(tmp_path):
    """A child inherits the lock, so the folder is not free before it has ended, though its launcher is long dead."""
    script = f"""
        import subprocess, sys
        from pathlib import Path
        from deploy.local.folder import DataFolder
        folder = DataFolder.open(Path({str(tmp_path)!r}), print)
        child = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        subprocess.Popen(child, pass_fds=[folder.lock_fd], stdin=sys.stdin, stdout=subprocess.DEVNULL)
        """
    reader, writer = os.pipe()
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], stdin=reader, check=True)
    os.close(reader)
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        os.close(writer)  # the child sees the end of its input, and ends

    DataFolder.open(tmp_path, say).release()
    assert len(lines) == 1
    assert "was killed; waiting for what it left behind" in lines[0]


def test_a_folder_belongs_to_one_broker(tmp_path):
    folder = DataFolder.open(tmp_path, print)
    folder.claim_for("noida")
    folder.claim_for("noida")
    with pytest.raises(LaunchError, match="filled with BROKER=noida"):
        folder.claim_for("kafka")
    assert not folder.was_broker_cut_off()
    folder.note_broker_running()
    assert folder.was_broker_cut_off()
    folder.note_broker_stopped()
    assert not folder.was_broker_cut_off()
    folder.release()
