"""Costs from a file to the report, and that report to a file again: through every process of the product."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import polars
import pytest
from typer.testing import CliRunner

from deploy.cli.main import app
from deploy.demo.product import Product

COSTS = "date,channel,campaign,cost,currency\n1999-12-31,display,millennium,{amount},CNY\n"
DAY = {"from": "1999-12-31", "to": "1999-12-31"}


@pytest.fixture
def attrikit(product: Product, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The command as in a shell beside `attrikit up`: it is told where the data is, and nothing else."""
    for name in [name for name in os.environ if name.startswith("ATTRIKIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ATTRIKIT_DATA_DIR", str(product.data_dir))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_what_was_spent_is_in_the_report_and_in_the_file(
    attrikit: Any, api: httpx.Client, eventually: Any, data: Any, tmp_path: Path
) -> None:
    file = tmp_path / "costs.csv"

    def spend_is(amount: str) -> bool:
        spend = data(api.get("/v1/reports/performance", params=DAY))["totals"]["spend"]
        return spend is not None and spend == float(amount)

    for amount in ("100.5", "99.5", "99.5"):
        file.write_text(COSTS.format(amount=amount))
        assert "imported 1 rows" in attrikit("costs", "import", str(file), "--app", "demo")
        eventually(lambda amount=amount: spend_is(amount))
    asked = {"report": "performance", "format": "parquet", "compression": "zstd", "filters": DAY}
    job = data(api.post("/v1/reports/export", json=asked), 201)

    def done() -> Any:
        found = data(api.get(f"/v1/reports/export/{job['job_id']}"))
        assert found["state"] != "failed", found
        return found if found["state"] == "done" else None

    url = eventually(done)["download_url"]
    with httpx.Client(base_url=api.base_url, trust_env=False) as stranger:
        content = stranger.get(url)
    assert content.status_code == 200
    frame = polars.read_parquet(io.BytesIO(content.content))
    assert frame.filter(polars.col("key") == "display")["spend"].to_list() == [99.5]
