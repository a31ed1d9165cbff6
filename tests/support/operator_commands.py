"""`attrikit` beside a running product, which knows nothing but its data folder."""

import os
import subprocess
import sys

from deploy.demo.product import Product


def attrikit(
    product: Product, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("ATTRIKIT_")}
    own |= {"ATTRIKIT_DATA_DIR": str(product.data_dir), "COLUMNS": "200"} | (environment or {})
    argv = [sys.executable, "-P", "-m", "deploy.cli", *arguments]
    return subprocess.run(argv, env=own, capture_output=True, text=True, timeout=100)
