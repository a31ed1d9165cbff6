"""Contract with Faust: the members its adapter relies on are as they were when the adapter was written.

After an upgrade a failure names the member that changed, or the caller that no longer calls it. Read it, look whether
the adapter's use of it still holds, then note its new digest here.
"""

import ast
import inspect
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import pytest
from faust.app import App
from faust.tables import Table
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.base import Transport
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as AIOKafkaConsumer
from faust.worker import Worker

from pipeline.stream import faust_adapter


class Member(NamedTuple):
    owner: type
    name: str
    digest: str
    """Of its source."""
    callers: tuple[Callable[..., Any], ...] = ()
    """Methods of Faust that must use it: it is overridden or set."""


MEMBERS = [
    Member(App, "_consumer_wait_empty", "6bc313c48c06", (App._stop_consumer, App._on_partitions_revoked)),
    Member(AIOKafkaConsumer, "_commit", "a20eec84e4b2"),
    Member(AIOKafkaConsumer, "highwater", "f52cb0d26a71"),
    Member(AIOKafkaConsumer, "_get_active_partitions", "b24897f3c7af"),
    Member(AIOKafkaConsumer, "_new_consumer_thread", "0870ec53dea7", (ThreadDelegateConsumer.__init__,)),
    Member(AIOKafkaConsumer, "_wait_next_records", "6218e1969a63", (Consumer.getmany,)),
    Member(
        AIOKafkaConsumerThread, "_create_worker_consumer", "c2701bfc3e6f", (AIOKafkaConsumerThread._create_consumer,)
    ),
    Member(Transport, "create_consumer", "46cc2bf5ab14"),
    Member(Table, "on_rebalance", "0812ad692171", (TableManager.on_rebalance,)),
    Member(Table, "on_recovery_completed", "b1526fb39ea0", (Recovery.on_recovery_completed,)),
    Member(Recovery, "_build_offsets", "27eec86be06c", (Recovery._restart_recovery.fun,)),
    Member(Recovery, "need_recovery", "fd1dc345b5d5", (Recovery._restart_recovery.fun,)),
    Member(TableManager, "on_start", "365dd25fbc0e"),
    Member(TableManager, "on_stop", "351be149c036"),
    Member(TableManager, "recovery", "f0bf5de78b4c", (TableManager.on_rebalance,)),
    Member(TableManager, "_update_channels", "88e3941facc9"),
    Member(Worker, "_sentinel_task", "6e66058cf3e1", (Worker._shutdown_loop,)),
]
ATTRIBUTES = {
    "_recovery": TableManager.on_stop,
    "active_highwaters": Recovery._restart_recovery.fun,
    "flow_active": Consumer.stop_flow,
    "spinner": Worker._on_startup_end_spinner,
    "Consumer": Transport.create_consumer,
}
"""Attributes that are read or set, each with a method of Faust that must use it."""
PUBLIC = {"on_start", "on_stop"}
"""Hooks of every service, as Faust documents them."""
OWN = {"_owner", "_app", "_topic", "_source", "_stores", "_read", "_abc_impl", "logger"}
"""The adapter's own, and what Python and Faust put into every class."""


def source_of(member: object) -> str:
    return inspect.getsource(member.fget if isinstance(member, property) else member)  # type: ignore[arg-type]


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: f"{member.owner.__name__}.{member.name}")
def test_a_member_the_adapter_relies_on_is_unchanged(member: Member) -> None:
    found = inspect.getattr_static(member.owner, member.name)
    assert sha256(source_of(found).encode()).hexdigest()[:12] == member.digest, source_of(found)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: f"{member.owner.__name__}.{member.name}")
def test_faust_still_calls_what_the_adapter_replaces(member: Member) -> None:
    for caller in member.callers:
        assert f".{member.name}" in inspect.getsource(caller), caller.__qualname__


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_faust_still_uses_an_attribute_of_the_adapter(name: str) -> None:
    assert f".{name}" in inspect.getsource(ATTRIBUTES[name])


def test_nothing_else_of_faust_is_private_and_used() -> None:
    listed = {member.name for member in MEMBERS} | ATTRIBUTES.keys() | PUBLIC
    assert set(_used()) - OWN - listed == set()


def _used() -> Iterator[str]:
    """Private names the adapter touches, and methods with which it overrides Faust's."""
    for node in ast.walk(ast.parse(inspect.getsource(faust_adapter))):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            yield node.attr
    for cls in vars(faust_adapter).values():
        if isinstance(cls, type) and cls.__module__ == faust_adapter.__name__ and cls.__mro__[1].__module__ != "typing":
            inherited = {name for base in cls.__mro__[1:-1] for name in vars(base)}
            yield from (name for name in vars(cls) if name in inherited and not name.startswith("__"))
