"""Read a list of the API page by page, up to a limit."""

from dataclasses import dataclass
from typing import Any

from services.console.page import Page
from services.console.reading import ReadFailed


@dataclass(frozen=True)
class Walked:
    """Items of a list. `is_whole`: there are no more of them than these."""

    items: list[dict[str, Any]]
    is_whole: bool


async def walk(page: Page, path: str, asked: dict[str, Any], at_most: int) -> Walked | None:
    """Read the list until `at_most` items are there (the last page may bring a few more); None: it cannot be read now.
    Raises `ReadFailed` where the question is at fault."""
    items: list[dict[str, Any]] = []
    cursor = None
    try:
        while len(items) < at_most:
            found = await page.read(path, asked | {"cursor": cursor})
            items += found["items"]
            cursor = found["next_cursor"]
            if cursor is None:
                break
    except ReadFailed as error:
        if error.status < 500:
            raise
        return None
    return Walked(items, cursor is None)
