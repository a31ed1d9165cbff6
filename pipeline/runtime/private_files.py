"""Files of this process are its user's alone: keys, states, events and logs lie in them."""

import os
from pathlib import Path
from typing import Final

OWNER_ONLY_MASK: Final = 0o077
_OWNER_ONLY_FOLDER: Final = 0o700


def make_files_private() -> None:
    """Whatever this process and its children create from here on can be read by its user only. Call it first thing."""
    os.umask(OWNER_ONLY_MASK)


def make_private_folder(path: Path) -> None:
    """Make the folder, or close one that an earlier version left open to others, with all it holds.

    Raises OSError.
    """
    path.mkdir(parents=True, exist_ok=True, mode=_OWNER_ONLY_FOLDER)
    if path.stat().st_mode & OWNER_ONLY_MASK and path.stat().st_uid == os.geteuid():
        path.chmod(_OWNER_ONLY_FOLDER)
