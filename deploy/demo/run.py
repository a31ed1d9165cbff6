"""`attrikit demo`: the main job from start to finish, unattended, in a folder of its own on free ports.

    start everything → post the traffic → wait until all of it can be read → report → stop → count in the tables → check

Exits 0 only if everything adds up. Whatever happens, the processes are ended; the folder is removed, unless it is to be
kept: then everything is started in it once more, to be looked at until Ctrl-C.
"""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.demo.generator import Plan, Sending, Truth, generate, truth_of
from deploy.demo.ledger import Observed, checks
from deploy.demo.observe import Report, count_topic_lines, read_report, read_tables
from deploy.demo.poster import Posted, Poster, PostError, parcels
from deploy.demo.product import Product
from deploy.demo.show import show_checks, show_ledger, show_report
from deploy.local.process import LaunchError
from pipeline.readmodel.progress import open_reader, wait_until_settled
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import monotonic_seconds, now_ms

_APP_ID: Final = "demo"
_SETTLE_SECONDS: Final = 180.0
_LOOK_SECONDS: Final = 0.2
_PLAIN_STEP: Final = 10
"""Percent between the lines of a progress bar where there is no terminal."""


def run(events: int, seed: int, broker: str = "noida", keeps: bool = False) -> int:
    """Run the demo and return the process's exit code: 0 if everything adds up. Call from the main thread.

    `keeps`: run on with the data afterwards, until a signal comes, and leave the folder.
    """
    console = Console()
    with _signals_end_it(), _folder(keeps) as folder:
        product = Product(folder, broker)
        try:
            code = _run(product, Plan(end_ms=now_ms(), events=events, seed=seed), console)
            if keeps:
                _run_on(product, console)
            return code
        except (LaunchError, PostError, TimeoutError, httpx.HTTPError) as error:
            console.print(f"[red]the demo failed:[/] {error or type(error).__name__}")
            for line in product.last_words():
                console.print(line, markup=False, highlight=False, soft_wrap=True)
            return 1
        finally:
            product.stop()


@contextmanager
def _folder(keeps: bool) -> Iterator[Path]:
    if keeps:
        yield Path(tempfile.mkdtemp(prefix="attrikit-demo-"))
        return
    with tempfile.TemporaryDirectory(prefix="attrikit-demo-") as folder:
        yield Path(folder)


def _run_on(product: Product, console: Console) -> None:
    """Keep running until a signal comes; raises `LaunchError` if the product ends before."""
    product.start()
    lines = (
        f"it runs on with this data until Ctrl-C: {product.base_url}/docs",
        f"console   {product.admin_link or product.console_url}",
        f"key       {product.key}",
        f"data      {product.data_dir}",
        f"again     make run DATA={product.data_dir}",
        f"remove    rm -r {product.folder}",
        f'a report  curl -H "Authorization: Bearer {product.key}" {product.base_url}/v1/reports/performance',
        "ready",
    )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    with suppress(SystemExit):  # what a signal raises here
        while True:
            product.check_running()
            time.sleep(_LOOK_SECONDS)


def _run(product: Product, plan: Plan, console: Console) -> int:
    began = monotonic_seconds()
    sendings = generate(plan)
    truth = truth_of(sendings)
    console.print(f"starting the product in {product.folder}, and posting {len(sendings):,} events of {plan.days} days")
    product.start()
    console.print(f"it listens on {product.base_url}; seed {plan.seed}")
    posted, topic_lines, report = asyncio.run(_drive(product, sendings, plan.seed, console))
    product.stop()
    observed = asyncio.run(_count(product, topic_lines, report))
    return _conclude(console, truth, posted, observed, report, monotonic_seconds() - began)


async def _drive(product: Product, sendings: list[Sending], seed: int, console: Console) -> tuple[Posted, int, Report]:
    headers = {"Authorization": f"Bearer {product.key}"}
    async with httpx.AsyncClient(base_url=product.base_url, headers=headers, timeout=15.0, trust_env=False) as client:
        began = monotonic_seconds()
        with _bar(console, len(sendings)) as advance:
            posted = await Poster(client).post_all(parcels(sendings, seed), advance)
        seconds = monotonic_seconds() - began
        console.print(
            f"posted in {seconds:.1f} s ({posted.sent / seconds:,.0f} events/s, {posted.requests:,} requests)"
        )
        began = monotonic_seconds()
        product.check_running()
        async with open_reader(product.settings) as reader:
            await wait_until_settled(reader, _SETTLE_SECONDS)
        console.print(f"everything can be read {monotonic_seconds() - began:.1f} s after the last answer")
        return posted, await count_topic_lines(product.settings), await read_report(client)


async def _count(product: Product, topic_lines: int, report: Report) -> Observed:
    """Count the results. The embedded ClickHouse belongs to one process at a time, so this comes after the product has
    stopped.
    """
    clickhouse = ClickHouse.open(product.settings)
    try:
        return await read_tables(clickhouse, _APP_ID, topic_lines, report)
    finally:
        clickhouse.close()


def _conclude(
    console: Console, truth: Truth, posted: Posted, observed: Observed, report: Report, seconds: float
) -> int:
    show_report(console, report)
    show_ledger(console, truth, posted, observed)
    found = checks(truth, posted, observed)
    show_checks(console, found)
    failed = sum(not check.holds for check in found)
    console.print(f"{failed} of {len(found)} checks failed" if failed else f"everything adds up, in {seconds:.0f} s")
    return 1 if failed else 0


@contextmanager
def _bar(console: Console, total: int) -> Iterator[Callable[[int], object]]:
    """Show a progress bar on a terminal, else a line every tenth of the way."""
    if console.is_terminal:
        columns = (TextColumn("posting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("posting", total=total)
            yield lambda count: progress.advance(task, count)
    else:
        yield _plain_bar(total)


def _plain_bar(total: int) -> Callable[[int], None]:
    sent = 0

    def advance(count: int) -> None:
        nonlocal sent
        before, sent = sent, sent + count
        if before * 100 // total // _PLAIN_STEP != sent * 100 // total // _PLAIN_STEP:
            print(f"posted {sent:,} of {total:,} events", flush=True)

    return advance


@contextmanager
def _signals_end_it() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end the demo as Ctrl-C does: through the `finally`s that clean up."""

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
