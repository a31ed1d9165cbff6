"""The rules of every app, compiled when its settings change; defaults for an app that is not in the control plane."""

from typing import Protocol

from pipeline.domain.rules import AppRules, compile_rules
from pipeline.runtime.log import get_logger
from schemas.control import App, Snapshot

_log = get_logger("stream.rules")


class Snapshots(Protocol):
    """The control plane, as `pipeline.control.SnapshotSource` gives it."""

    @property
    def is_loaded(self) -> bool: ...

    def current(self) -> Snapshot:
        """Raises before the first snapshot was read."""
        ...

    def refresh(self) -> bool:
        """Read once, now, blocking; False if that failed."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class RulesBook(dict[str, AppRules]):
    """App id → rules; never a KeyError. `use` brings it to a snapshot."""

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: Snapshot | None = None
        self._compiled_from: dict[str, App] = {}

    def use(self, snapshot: Snapshot) -> None:
        """Costs nothing when it is the snapshot already used. Apps whose settings are the same keep their rules."""
        if snapshot is self._snapshot:
            return
        self._snapshot = snapshot
        for app_id in [app_id for app_id in self if self._app(app_id) != self._compiled_from[app_id]]:
            del self[app_id]

    def knows(self, app_id: str) -> bool:
        return self._snapshot is not None and app_id in self._snapshot.apps

    def _app(self, app_id: str) -> App:
        apps = self._snapshot.apps if self._snapshot is not None else {}
        return apps.get(app_id) or App(app_id, app_id)

    def __missing__(self, app_id: str) -> AppRules:
        app = self._app(app_id)
        try:
            rules = compile_rules(app)
        except ValueError as error:
            _log.error("app_settings_unusable", app_id=app_id, error=str(error))
            rules = compile_rules(App(app_id, app.name, currency=app.currency, goals=app.goals))
        self[app_id] = rules
        self._compiled_from[app_id] = app
        return rules
