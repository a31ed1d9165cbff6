"""`attrikit up`: broker, store, worker, gateway and console as children of this process: started, watched, stopped.

lock the data folder → check the ports → broker → topics → control plane → store, worker, gateway, webhooks, console
→ ready → until a signal comes or a child ends → console, gateway, worker, webhooks, store, broker stopped, each drained
in time
"""

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Any, Final

import httpx
from aiokafka.errors import KafkaError
from pydantic import SecretStr

from deploy.local import running, trim
from deploy.local.addresses import answers, base_url, check_port, console_of, listens_on
from deploy.local.apache_kafka import KafkaBroker
from deploy.local.broker import Broker, NoidaBroker
from deploy.local.demo_app import ensure_demo_key, quick_start
from deploy.local.first_admin import new_admin_link
from deploy.local.folder import DataFolder, Say
from deploy.local.ports import free_port
from deploy.local.process import ChildEnded, ChildProcess, LaunchError
from deploy.local.restarts import Restarts
from deploy.migrations import migrate_at_start
from pipeline.control import ControlPlane
from pipeline.runtime.bell import make_bells
from pipeline.runtime.broker_room import BrokerRoom
from pipeline.runtime.clock import monotonic_seconds, now_ms
from pipeline.runtime.environment import file_variable, secret_settings
from pipeline.runtime.kafka.topics import TopicMismatch
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics

_READY_SECONDS: Final = 120.0
_TOPICS_SECONDS: Final = 30.0
_DRAIN_SECONDS: Final = 25.0
_WATCH_SECONDS: Final = 0.25
_PROBE_SECONDS: Final = 2.0
_TAIL_LINES: Final = 15
_ORDERLY_EXITS: Final = (0, 128 + signal.SIGTERM)
"""Exit codes of a broker that ended in order; a JVM stopped by SIGTERM says 143."""
WORKER_RESTARTS: Final = 70
"""The exit code of a worker that is to be started again (`pipeline.stream.fatal.EXIT_FATAL`)."""
_STOP_ORDER: Final = ("console", "gateway", "worker", "webhooks", "store")
_CONSUMERS: Final = ("store", "worker", "webhooks")
_COMMANDS: Final = {"webhooks": ("webhooks", "serve")}
"""Commands of services whose command is not their name."""


class BrokerKind(StrEnum):
    NOIDA = "noida"
    KAFKA = "kafka"


class _Stopped(KeyboardInterrupt):
    """Raised when a signal asks for the end. A `KeyboardInterrupt`, because asyncio lets nothing else out of its
    callbacks.
    """


def run(settings: Settings, kind: BrokerKind, say: Say, complain: Say) -> int:
    """Run everything until SIGINT or SIGTERM; return the exit code of the process. `complain` is called with the reason
    of a failure.

    Call from the main thread.
    """
    launcher = Launcher(settings, kind, _unbreakable(say))
    code = 1
    with _signals_to(launcher):
        try:
            launcher.start()
            launcher.watch()
        except _Stopped:
            code = 0
        except LaunchError as error:
            report(error, _unbreakable(complain))
        finally:
            launcher.stop()
    return code


class Launcher:
    """The children of one run. `start` and `watch` raise `LaunchError`; `stop` may be called at any time."""

    def __init__(self, settings: Settings, kind: BrokerKind, say: Say) -> None:
        self._given = settings.model_copy(update={"kafka_security_protocol": "PLAINTEXT"})  # our own broker's
        self._kind = kind
        self._say = say
        self._folder: DataFolder | None = None
        self._broker: Broker | None = None
        self._services: dict[str, ChildProcess] = {}
        self._open = ExitStack()
        self._has_trimmed = False
        self._room = BrokerRoom("", 0)
        self._restarts = Restarts()
        self._restart_at_seconds: float | None = None
        self._holding_signals = False
        self._signalled = False
        self._stopping = False

    def start(self) -> None:
        if not self._given.data_dir.exists():
            check_port(self._given.port, self._given.host)  # before there is anything to leave behind
        folder = self._folder = DataFolder.open(self._given.data_dir, self._say)
        check_port(self._given.port, self._given.host)
        folder.claim_for(self._kind)
        broker = self._start_broker(folder)
        given = {
            "data_dir": folder.path,
            "kafka_bootstrap": broker.bootstrap,
            "broker_data_dir": str(_broker_folder(folder, self._kind)) if self._kind is BrokerKind.NOIDA else "",
            "operator_token": self._given.operator_token or SecretStr(running.new_token()),
        } | console_of(self._given)
        settings = self._given.model_copy(update=given)
        self._room = BrokerRoom(settings.broker_data_dir, settings.broker_margin_bytes)
        asyncio.run(_ensure_topics(settings))
        migrate_at_start(settings, self._say)
        # Before the services, which read the control plane when they start: the key works from the first moment on.
        key, is_new = _demo_key(settings, folder)
        self._start_services(settings, folder)
        self._announce(settings, folder, key, is_new)

    def watch(self) -> None:
        """Watch the children and never return: raises `ChildEnded` when one ends; a signal ends it too."""
        next_trim = monotonic_seconds() + trim.CHECK_SECONDS
        while not self._signalled:
            self._restart_worker()
            self._check_children()
            if self._kind is BrokerKind.NOIDA and monotonic_seconds() > next_trim:
                self._keep_broker_small()
                next_trim = monotonic_seconds() + trim.CHECK_SECONDS
            time.sleep(_WATCH_SECONDS)
        raise _Stopped

    def stop(self) -> None:
        """Stop everything in order, so that each child has its neighbours while it drains, and release the folder."""
        self._stopping = True
        for name in _STOP_ORDER:
            self._stop_service(name)
        self._stop_broker()
        self._open.close()
        if self._folder is not None:
            running.note_stopped(self._folder.path)
            self._folder.release()
            if self._broker is not None:
                self._say(f"stopped; the data stays in {self._folder.path}")
            self._folder = None

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Interrupt whatever is going on, except the moment in which a child is born."""
        is_first, self._signalled = not self._signalled, True
        if is_first and not self._holding_signals and not self._stopping:
            raise _Stopped

    def _keep_broker_small(self) -> None:
        if self._broker is None:
            return
        if trim.resident_bytes(self._broker.process.pid) < trim.START_BYTES and not self._room.shortage_bytes():
            return
        settings = self._given.model_copy(update={"kafka_bootstrap": self._broker.bootstrap})
        # If the broker does not answer, its end is noticed soon enough, and the next turn tries again.
        with suppress(KafkaError, TimeoutError):
            if asyncio.run(trim.trim(settings)) and not self._has_trimmed:
                self._has_trimmed = True
                self._say("the broker has grown, or its disk is nearly full: it drops what every reader has read")

    def _start_broker(self, folder: DataFolder) -> Broker:
        data_dir, log_path = _broker_folder(folder, self._kind), folder.path / "logs" / "broker.log"
        make = NoidaBroker if self._kind is BrokerKind.NOIDA else KafkaBroker
        port = free_port(avoid=[self._given.port, self._given.port + 1])
        broker: Broker = make(data_dir, log_path, port, (folder.lock_fd,))
        self._say(f"broker    {broker.description}, {broker.bootstrap}")
        if folder.was_broker_cut_off() and self._kind is BrokerKind.NOIDA:
            self._say("warning: the broker was killed last time; what it acknowledged in its last seconds may be lost")
        folder.note_broker_running()
        with self._signals_held():
            self._broker = broker
            broker.spawn()
        broker.wait_ready()
        return broker

    def _start_services(self, settings: Settings, folder: DataFolder) -> None:
        taken = [settings.port, settings.console_port]
        query_port = free_port(avoid=taken)
        worker_port = free_port(avoid=[*taken, query_port])
        webhooks_port = free_port(avoid=[*taken, query_port, worker_port])
        query_url = f"http://127.0.0.1:{query_port}"
        plans: dict[str, dict[str, Any]] = {
            "store": {"host": "127.0.0.1", "port": query_port, "count_requests": False},
            "worker": {"worker_port": worker_port},
            "gateway": {"query_url": query_url},
            "console": {"query_url": query_url, "gateway_url": base_url(settings)},
            "webhooks": {"host": "127.0.0.1", "webhooks_port": webhooks_port, "webhooks_instance": "local"},
        }
        bells_of = self._open.enter_context(make_bells(_CONSUMERS if self._kind is BrokerKind.NOIDA else ()))
        for name, update in plans.items():
            bells = bells_of(name)
            own = settings.model_copy(update=update | {"bells": str(bells)})
            self._start_service(name, own, [folder.lock_fd, *bells.descriptors])
        running.note_running(settings.model_copy(update={"query_url": query_url, "worker_port": worker_port}))
        self._wait_ready(
            {
                "store": query_url,
                "worker": f"http://127.0.0.1:{worker_port}",
                "gateway": base_url(settings),
                "console": listens_on(settings.console_host or settings.host, settings.console_port),
                "webhooks": f"http://127.0.0.1:{webhooks_port}",
            }
        )
        if missing_bytes := self._room.shortage_bytes():
            self._say(f"warning: the disk is nearly full: events are refused until {missing_bytes:,} bytes are freed")

    def _start_service(self, name: str, settings: Settings, pass_fds: list[int]) -> None:
        child = ChildProcess(
            name,
            # -P: a folder that happens to hold a `schemas` must not shadow ours.
            [sys.executable, "-P", "-m", "deploy.cli", *_COMMANDS.get(name, (name,))],
            settings.data_dir / "logs" / f"{name}.log",
            environment=_without_files(os.environ) | settings.as_environment() | {"PYTHONUNBUFFERED": "1"},
            pass_fds=pass_fds,
        )
        with self._signals_held():
            self._services[name] = child
            child.start()

    def _wait_ready(self, urls: dict[str, str]) -> None:
        waiting = dict(urls)
        deadline = monotonic_seconds() + _READY_SECONDS
        with httpx.Client(trust_env=False, timeout=_PROBE_SECONDS) as client:
            while waiting:
                self._check_children()
                waiting = {name: url for name, url in waiting.items() if not self._has_started(client, name, url)}
                if monotonic_seconds() > deadline:
                    raise LaunchError(f"not ready after {_READY_SECONDS:.0f} s: {', '.join(waiting)}; see the logs")
                time.sleep(_WATCH_SECONDS)

    def _has_started(self, client: httpx.Client, name: str, url: str) -> bool:
        """Tell whether a child has started: it is ready, or a gateway that refuses events for want of disk space: what
        is stored can be read all the same, and the broker is made smaller once the others have read it.
        """
        is_short = name == "gateway" and self._room.shortage_bytes() > 0
        return answers(client, url + ("/healthz" if is_short else "/readyz"))

    def _restart_worker(self) -> None:
        """Restart a worker that ended on purpose because its memory is ahead of the log (after a broker's restart,
        say); it goes on from the log. Any other end, and too many of these, are a failure.
        """
        worker = self._services["worker"]
        if worker.exit_code != WORKER_RESTARTS:
            return
        now_seconds = monotonic_seconds()
        if self._restart_at_seconds is None:
            delay_seconds = self._restarts.next_delay_seconds(now_seconds)
            if delay_seconds is None:
                raise ChildEnded(worker)
            self._restart_at_seconds = now_seconds + delay_seconds
            self._say(f"the worker ended to go on from the log; starting it again in {delay_seconds:.0f} s")
        elif now_seconds >= self._restart_at_seconds:
            self._restart_at_seconds = None
            with self._signals_held():
                worker.start()

    def _check_children(self) -> None:
        children = [*self._services.values(), *([self._broker.process] if self._broker else [])]
        for child in children:
            if not child.is_running and not (self._restart_at_seconds and child is self._services["worker"]):
                raise ChildEnded(child)

    def _announce(self, settings: Settings, folder: DataFolder, key: str, is_new: bool) -> None:
        path = _key_path(folder)
        base = base_url(settings)
        self._say(f"data      {folder.path}")
        self._say(f"docs      {base}/docs")
        self._say(f"console   {settings.console_url}")
        if link := new_admin_link(settings, now_ms()):
            self._say(f"          log in as `admin`; set its password first, once: {link}")
        self._say(
            f"demo key  {key}\n          (shown this once; it lies in {path})" if is_new else f"demo key  in {path}"
        )
        self._say(f"\nA first event:\n\n{quick_start(base, key if is_new else f'$(cat {shlex.quote(str(path))})')}\n")
        self._say("ready")

    def _stop_service(self, name: str) -> None:
        child = self._services.get(name)
        if child is None:
            return
        if child.is_running:
            self._say(f"stopping {name}")
        if child.stop(_DRAIN_SECONDS) == -signal.SIGKILL:
            self._say(f"warning: {name} had to be killed; what it did not finish is done at the next start")

    def _stop_broker(self) -> None:
        if self._broker is None or self._folder is None:
            return
        if self._broker.process.is_running:
            self._say("stopping broker")
        self._broker.stop()
        if self._broker.process.exit_code in _ORDERLY_EXITS:
            self._folder.note_broker_stopped()

    @contextmanager
    def _signals_held(self) -> Iterator[None]:
        """Hold signals back while a child is started, so that it is always known and can be stopped."""
        self._holding_signals = True
        try:
            yield
        finally:
            self._holding_signals = False
        if self._signalled:
            raise _Stopped


def report(error: LaunchError, complain: Say) -> None:
    """Report why a run failed; if a child ended, with the end of its log."""
    complain(f"error: {error}")
    if isinstance(error, ChildEnded):
        for line in error.child.log_tail(_TAIL_LINES):
            complain(f"  | {line}")
        complain(f"its log: {error.child.log_path}")


@contextmanager
def _signals_to(launcher: Launcher) -> Iterator[None]:
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means it
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, launcher.on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unbreakable(say: Say) -> Say:
    """Wrap `say` so that it never fails: a terminal that went away must not keep the children from being stopped."""

    def say_if_heard(line: str) -> None:
        with suppress(OSError):
            say(line)

    return say_if_heard


def _broker_folder(folder: DataFolder, kind: BrokerKind) -> Path:
    return folder.path / "broker" / kind


def _key_path(folder: DataFolder) -> Path:
    return folder.path / "demo-key"


def _demo_key(settings: Settings, folder: DataFolder) -> tuple[str, bool]:
    store = ControlPlane(settings.control_plane_dsn())
    try:
        return ensure_demo_key(store, _key_path(folder), now_ms())
    finally:
        store.close()


async def _ensure_topics(settings: Settings) -> None:
    """Create the topics. A broker that has just begun to answer may still be electing leaders: try until it has its
    topics.
    """
    deadline = monotonic_seconds() + _TOPICS_SECONDS
    while True:
        try:
            return await ensure_topics(settings)
        except TopicMismatch as error:
            raise LaunchError(str(error)) from error
        except KafkaError as error:
            if monotonic_seconds() > deadline:
                raise LaunchError(f"the topics could not be made: {error}") from error
            await asyncio.sleep(_WATCH_SECONDS)


def _without_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables but for those that name files with secrets: a child is given the secrets themselves."""
    files = {file_variable(name) for name in secret_settings()}
    return {name: value for name, value in environment.items() if name.upper() not in files}
