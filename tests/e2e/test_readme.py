"""The commands of README.md: each is run against the running product, or, where it names machines of somebody else's,
checked against the command line."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from deploy.cli.main import app
from deploy.demo.product import Product

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text("utf-8")
BLOCK = re.compile(r"^```(bash|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"kafka-1|your-domain\.com|whe_…|^helm |^kubectl ")
"""In commands that cannot be run here: other people's machines, ids that only an installation has."""
MAY_FIND_SOMETHING = ("attrikit doctor", "attrikit rejected replay")
"""Their exit code 1 says what they found, in the disk of this machine or in what other tests have sent."""
SECONDS = 100


def _commands(block: str) -> Iterator[str]:
    """Each command of a block, with its continuation lines, without the prompt."""
    command = ""
    for line in block.splitlines():
        command += line.removeprefix("$ ") + "\n"
        try:
            words = shlex.split(command, comments=True)
        except ValueError:  # a quotation that goes on in the next line
            continue
        if line.endswith("\\"):
            continue
        if words:
            yield command.strip()
        command = ""


BLOCKS = [list(_commands(block)) for _, block in BLOCK.findall(README)]
COMMANDS = [command for block in BLOCKS for command in block]
INLINE = [" ".join(code.split()) for code in re.findall(r"`((?:attrikit|make) [^`|…]+)`", README + CHINESE)]


def test_the_readme_has_commands() -> None:
    assert len(COMMANDS) > 15
    assert {"make run", "make demo"} <= set(COMMANDS)


def test_the_chinese_readme_has_the_same_commands() -> None:
    assert [list(_commands(block)) for _, block in BLOCK.findall(CHINESE)] == BLOCKS


@pytest.mark.parametrize("command", [text for text in COMMANDS + INLINE if text.startswith("attrikit ")])
def test_the_command_line_takes_it(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ads.csv").touch()
    words = shlex.split(command, comments=True)[1:]
    found: Any = typer.main.get_command(app)
    while hasattr(found, "commands") and words:
        assert words[0] in found.commands, command
        found = found.commands[words.pop(0)]
    if command in COMMANDS:
        found.make_context(found.name, words)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("command", [text for text in COMMANDS + INLINE if text.startswith("make ")])
def test_make_knows_it(command: str) -> None:
    words = shlex.split(command, comments=True)
    done = subprocess.run([words[0], "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    names = {word.partition("=")[0] for word in words[1:] if "=" in word}
    assert all(re.search(rf"^{name} \?=", (ROOT / "Makefile").read_text(), re.MULTILINE) for name in names)


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="there is no curl or bash")
def test_they_do_what_is_said(
    product: Product, api: httpx.Client, eventually: Callable[..., Any], tmp_path: Path
) -> None:
    """Run the commands from first to last in the folder of a running product, as a reader would."""
    (tmp_path / ".attrikit").symlink_to(product.data_dir)
    (tmp_path / "ads.csv").write_text("date,channel,cost,source\n2024-01-15,paid_search,59.90,google\n")
    setup = f"""
unset ${{!ATTRIKIT_@}}
export ATTRIKIT_API_URL={product.base_url} COLUMNS=200
attrikit() {{ {shlex.quote(sys.executable)} -P -m deploy.cli "$@"; }}
curl() {{ command curl --silent --show-error --fail --noproxy '*' "$@"; }}
"""
    script = [setup]
    for block in BLOCKS:
        if any(ELSEWHERE.search(command) for command in block):
            continue
        for command in block:
            if not command.startswith("make "):
                script.append(f"{_here(command, product)}\ncode=$?")
                allowed = 1 if command.startswith(MAY_FIND_SOMETHING) else 0
                script.append(
                    f"[ $code -le {allowed} ] || {{ echo; echo {shlex.quote('failed: ' + command)}; exit 9; }}"
                )
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Traceback" not in done.stderr

    def bought() -> Any:
        items = api.get("/v1/conversions", params={"user_id": "u_1", "goal": "purchase"}).json()["data"]["items"]
        return items and items[0]

    assert eventually(bought)["value"] == 59.9


def _here(command: str, product: Product) -> str:
    """The command with the address and the key of this product."""
    return command.replace("http://127.0.0.1:8000", product.base_url).replace("ak_live_…", product.key)
