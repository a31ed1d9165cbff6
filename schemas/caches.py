"""A cache for functions of texts that strangers send, bounded in bytes. Pure."""

from collections.abc import Callable
from functools import lru_cache, wraps  # noqa: TID251 the one place
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def cache_short_texts(entries: int, characters: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorator: remember the last `entries` results for arguments of at most `characters` together.

    The arguments are positional, texts or bytes. Longer ones are computed anew each time, so that the arguments
    remembered take `entries * characters` characters at most.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        remembered = lru_cache(entries)(function)

        @wraps(function)
        def call(*texts: P.args, **none: P.kwargs) -> T:
            if sum(map(len, texts)) > characters:  # type: ignore[arg-type]
                return function(*texts, **none)
            return remembered(*texts, **none)  # type: ignore[arg-type]

        return call

    return decorate
