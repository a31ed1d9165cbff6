"""`attrikit` beside a running product, which knows nothing but its data folder."""

import json
import os
import subprocess
import sys
from typing import Any

from deploy.demo.product import Product


def attrikit(
    product: Product, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("ATTRIKIT_")}
    own |= {"ATTRIKIT_DATA_DIR": str(product.data_dir), "COLUMNS": "200"} | (environment or {})
    argv = [sys.executable, "-P", "-m", "deploy.cli", *arguments]
    return subprocess.run(argv, env=own, capture_output=True, text=True, timeout=100)


def ledger_totals(product: Product, app_id: str) -> dict[str, int]:
    """Return what the ledger, which has to balance, counts of an app's events over all days."""
    done = attrikit(product, "ledger", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["balances"] is True
    assert any(note.startswith("sessions have counted") for note in found["notes"])
    names = ("acknowledged", "accepted", "stored", "duplicates", "rejected")
    lines = [line for line in found["lines"] if line["app_id"] == app_id]
    return {name: sum(line[name] for line in lines) for name in names}
