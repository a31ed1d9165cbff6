"""A signal between the processes that `attrikit up` has started: there are new records in the broker.

The embedded broker cannot let a consumer wait for records, so consumers would have to ask it again and again. Instead,
each process that has written records rings a bell, and the others ask then. The bell of a process is a pipe; the
launcher makes it, and all its children inherit it. A ring that is lost costs time only: consumers also ask now and then
without one.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Final, NamedTuple

_REST_SECONDS: Final = 0.02
"""The shortest time between two rings heard: under load most of them say what the last one said."""
_READ_BYTES: Final = 4096


class Bells(NamedTuple):
    """The bells as one process knows them. The text form, the setting `bells`, is `own;others`: "5;6,8"."""

    own: int | None
    """The descriptor it listens at; None: it reads no records."""
    all: tuple[int, ...]
    """The descriptors it rings."""

    @classmethod
    def parse(cls, text: str) -> "Bells | None":
        """None for an empty text. Raises `ValueError` for what is no such form."""
        if not text:
            return None
        own, _, rung = text.partition(";")
        return cls(int(own) if own else None, tuple(int(number) for number in rung.split(",") if number))

    def __str__(self) -> str:
        return "" if not self.all else f"{'' if self.own is None else self.own};{','.join(map(str, self.all))}"

    @property
    def descriptors(self) -> tuple[int, ...]:
        """File descriptors the process must inherit."""
        return self.all if self.own is None else (self.own, *self.all)

    def ring(self) -> None:
        """A full pipe has rings enough that were not heard yet; one at which nobody listens any more needs none."""
        for descriptor in self.all:
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(descriptor, b".")

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` for each ring, in a thread of its own, as long as the process lives."""
        if self.own is not None:
            Thread(target=_listen, args=(self.own, heard), name="bell", daemon=True).start()


@contextmanager
def make_bells(listeners: Iterable[str]) -> Iterator[Callable[[str], Bells]]:
    """The bells of these processes, until the end of the block: name of a process → what it has to know."""
    pipes = {name: os.pipe() for name in listeners}
    for _, ringing in pipes.values():
        os.set_blocking(ringing, False)
    rung = tuple(ringing for _, ringing in pipes.values())
    try:
        yield lambda name: Bells(pipes[name][0] if name in pipes else None, rung)
    finally:
        for pipe in pipes.values():
            for descriptor in pipe:
                os.close(descriptor)


def _listen(own: int, heard: Callable[[], None]) -> None:
    """Wait for rings until nobody can ring any more."""
    with open(own, "rb", buffering=0) as pipe:
        while pipe.read(_READ_BYTES):
            heard()
            time.sleep(_REST_SECONDS)
