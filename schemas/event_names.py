"""Suggestions of event names for those that are not `snake_case`. Pure."""

import re
from typing import Final

MAX_NAME_CHARACTERS: Final = 64
_WORD_BREAK: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OTHERS: Final = re.compile(r"[^A-Za-z0-9]+")


def suggest_name(name: str) -> str:
    """Suggest a name: `APP INSTALL` → `app_install`, `Purchase-Complete` → `purchase_complete`; empty where nothing is
    left to use.
    """
    words = _WORD_BREAK.sub("_", name)
    snake = _OTHERS.sub("_", words).strip("_").lower()
    if snake[:1].isdigit():
        snake = "event_" + snake
    return snake[:MAX_NAME_CHARACTERS].rstrip("_")
