"""Bells over real pipes."""

import os
import threading

import pytest

from pipeline.runtime.bell import Bells, make_bells

LONG_SECONDS = 20


def copy_of(bells: Bells) -> Bells:
    """With descriptors of its own, as a child process has them."""
    return Bells(None if bells.own is None else os.dup(bells.own), bells.all)


def test_a_ring_reaches_every_process_that_listens() -> None:
    heard = {name: threading.Event() for name in ("store", "worker")}
    with make_bells(heard) as bells_of:
        for name, event in heard.items():
            copy_of(bells_of(name)).listen(event.set)
        bells_of("gateway").ring()
        assert all(event.wait(LONG_SECONDS) for event in heard.values())


def test_ringing_never_waits_for_a_listener() -> None:
    with make_bells(["store"]) as bells_of:
        gateway = bells_of("gateway")
        for _ in range(100_000):
            gateway.ring()
        store = bells_of("store")
        assert store.own is not None
        assert os.read(store.own, 10)


def test_ringing_outlives_a_listener() -> None:
    listener, ringing = os.pipe()
    os.close(listener)
    Bells(None, (ringing,)).ring()
    os.close(ringing)


@pytest.mark.parametrize("bells", [Bells(5, (6, 8)), Bells(None, (6,)), Bells(7, (9,))])
def test_what_a_process_is_told_is_what_it_reads(bells: Bells) -> None:
    assert Bells.parse(str(bells)) == bells


def test_there_may_be_no_bells() -> None:
    with make_bells(()) as bells_of:
        assert bells_of("store").descriptors == ()
        assert Bells.parse(str(bells_of("store"))) is None
