from pipeline.stream.app_directory import AppDirectory
from pipeline.stream.rules_book import RulesBook
from schemas.control import DEFAULT_GOALS, App, Snapshot


class Source:
    """A control plane in which an app appears at the next refresh."""

    is_loaded = True

    def __init__(self, *later: App) -> None:
        self._snapshot = Snapshot({}, {}, 0)
        self._later = {app.app_id: app for app in later}
        self.refreshes = 0

    def current(self) -> Snapshot:
        return self._snapshot

    def refresh(self) -> bool:
        self.refreshes += 1
        self._snapshot = Snapshot(self._later, {}, self.refreshes)
        return True

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


async def test_an_app_not_known_yet_is_looked_for_before_its_first_event_is_judged() -> None:
    source, rules = Source(App("new", "New", goals=DEFAULT_GOALS)), RulesBook()
    directory = AppDirectory(source, rules)
    for _ in range(3):
        await directory.prepare(["new"])
    assert "purchase" in rules["new"].goals_by_event
    assert source.refreshes == 1


async def test_an_app_that_does_not_exist_is_looked_for_once() -> None:
    source, rules = Source(), RulesBook()
    directory = AppDirectory(source, rules)
    for _ in range(3):
        await directory.prepare(["gone"])
    assert source.refreshes == 1
    assert not rules["gone"].goals_by_event
