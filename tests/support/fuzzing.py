"""How much is generated: a seeded handful in the ordinary run, all of it under `make fuzz` (FUZZ=full).

A full run takes its seed from FUZZ_SEED, or makes one up and says it at the head of its report.
"""

import os
import secrets

IS_FULL = os.environ.get("FUZZ") == "full"
SEED = int(os.environ.get("FUZZ_SEED") or (secrets.randbits(32) if IS_FULL else 1))


def cases(few: int, full: int) -> int:
    """How many cases a test generates."""
    return full if IS_FULL else few
