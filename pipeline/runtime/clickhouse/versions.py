"""The oldest ClickHouse that this release runs on. Pure but for `check_version`."""

import re
from typing import Final

from pipeline.runtime.clickhouse.client import ClickHouse
from schemas.clickhouse import MigrationError

OLDEST: Final = (25, 3)
"""Release (year, month) of the long-term support line that the oldest supported server is of."""


def is_too_old(version: str) -> bool:
    """Tell whether a server of this version, `25.8.1.3` say, is too old; one that cannot be read is not."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) < OLDEST


async def check_version(clickhouse: ClickHouse) -> None:
    """Raise `MigrationError` if a server is too old; of a cluster, any of them."""
    old = [version for version in await clickhouse.server_versions() if is_too_old(version)]
    if old:
        oldest = ".".join(map(str, OLDEST))
        raise MigrationError(f"ClickHouse {old[0]} is too old: this release needs {oldest} or newer")
