"""`attrikit doctor`: observe, judge, print; exit 1 if something is wrong."""

import asyncio

import msgspec
from rich.console import Console
from rich.table import Table

from deploy.doctor.findings import Finding, Level, findings, has_failed
from deploy.doctor.observe import observe
from pipeline.runtime.settings import Settings

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


def run(settings: Settings, as_json: bool) -> int:
    found = findings(asyncio.run(observe(settings)))
    print(to_json(found)) if as_json else show(Console(), found)
    return 1 if has_failed(found) else 0


def to_json(found: list[Finding]) -> str:
    body = {"healthy": not has_failed(found), "findings": found}
    return msgspec.json.format(msgspec.json.encode(body)).decode()


def show(console: Console, found: list[Finding]) -> None:
    """Print a line per finding, then the advice."""
    table = Table("", "check", "about", "found")
    for finding in found:
        level = f"[{_COLOURS[finding.level]}]{finding.level.value}[/]"
        table.add_row(level, finding.check, finding.about, finding.value)
    console.print(table)
    for finding in found:
        if finding.advice:
            colour = _COLOURS[finding.level]
            console.print(f"[{colour}]{finding.check}, {finding.about}:[/] {finding.advice}", highlight=False)
    failed, warned = (sum(f.level is level for f in found) for level in (Level.FAIL, Level.WARN))
    console.print(f"{failed} failed, {warned} warnings" if failed or warned else "all is well")
