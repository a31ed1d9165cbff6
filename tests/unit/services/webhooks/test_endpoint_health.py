"""Time an endpoint has been failing, by an injected clock: disabled after five days or by 410, enabled again."""

import asyncio
from dataclasses import replace

import pytest

from pipeline.control.webhooks import StateChange
from schemas.control import WebhookEndpoint
from schemas.facts import AlertRow
from schemas.webhooks import EventType
from services.webhooks.endpoint_health import EndpointHealth, NotWritten

DAY_MS = 86_400_000
NOW_MS = 1_700_000_000_000
ENDPOINT = WebhookEndpoint("whe_1", "shop", "https://a.example/", frozenset(EventType), "", 0, description="stock")


class World:
    def __init__(self) -> None:
        self.written: list[StateChange] = []
        self.alerts: list[AlertRow] = []
        self.is_away = False
        self.health = EndpointHealth(self.write, self.alert, 5 * DAY_MS)

    def write(self, change: StateChange) -> None:
        if self.is_away:
            raise ConnectionError("away")
        self.written.append(change)

    async def alert(self, row: AlertRow) -> None:
        self.alerts.append(row)


async def test_five_days_without_a_success_and_it_is_disabled_with_an_alert() -> None:
    world = World()
    for day in range(5):
        assert not world.health.failed(ENDPOINT, NOW_MS + day * DAY_MS)
    await world.health.flush()
    assert world.written == [StateChange("whe_1", NOW_MS)]
    assert world.health.failed(ENDPOINT, NOW_MS + 5 * DAY_MS)
    await world.health.flush()
    assert world.written[-1] == StateChange("whe_1", NOW_MS, "no success for 120 hours")
    (alert,) = world.alerts
    assert (alert.app_id, alert.subject, alert.value, alert.state) == ("shop", "whe_1", 120.0, "began")
    assert "stock" in alert.rule_name


async def test_one_success_and_the_days_begin_anew() -> None:
    world = World()
    world.health.failed(ENDPOINT, NOW_MS)
    world.health.succeeded(ENDPOINT)
    assert not world.health.failed(ENDPOINT, NOW_MS + 6 * DAY_MS)
    await world.health.flush()
    assert world.written == [StateChange("whe_1", NOW_MS + 6 * DAY_MS)]
    assert not world.alerts


async def test_successes_are_not_news() -> None:
    world = World()
    for _ in range(100):
        world.health.succeeded(ENDPOINT)
    await world.health.flush()
    assert not world.written


async def test_after_a_restart_the_control_plane_knows_since_when() -> None:
    world = World()
    known = replace(ENDPOINT, failing_since_ms=NOW_MS - 5 * DAY_MS)
    assert world.health.failed(known, NOW_MS)


async def test_resumed_it_has_five_days_again() -> None:
    world = World()
    assert world.health.failed(replace(ENDPOINT, failing_since_ms=NOW_MS - 5 * DAY_MS), NOW_MS)
    world.health.forget("whe_1")
    assert not world.health.failed(ENDPOINT, NOW_MS + 1)
    assert not world.health.failed(ENDPOINT, NOW_MS + 4 * DAY_MS)


async def test_gone_disables_at_once() -> None:
    world = World()
    world.health.disable(ENDPOINT, "it answered 410 Gone", NOW_MS, "gone")
    await world.health.flush()
    assert world.written == [StateChange("whe_1", NOW_MS, "it answered 410 Gone")]
    assert len(world.alerts) == 1


async def test_an_alert_cut_off_while_it_is_sent_is_sent_by_the_next_flush() -> None:
    """The dispatcher is stopped in the middle of a flush: its writer is cancelled, and then flushed once more."""
    world, started = World(), asyncio.Event()

    async def hang(_row: AlertRow) -> None:
        started.set()
        await asyncio.Event().wait()

    health = EndpointHealth(world.write, hang, 5 * DAY_MS)
    health.disable(ENDPOINT, "it answered 410 Gone", NOW_MS, "gone")
    running = asyncio.create_task(health.run())
    async with asyncio.timeout(10):
        await started.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not world.written, "the alert goes before the state"
    health._alert = world.alert
    await health.flush()
    assert len(world.alerts) == len(world.written) == 1


async def test_raised_again_after_a_crash_the_alert_has_the_id_it_had() -> None:
    alerts = []
    for later_ms in (0, 60_000):
        world = World()
        failing = replace(ENDPOINT, failing_since_ms=NOW_MS - 5 * DAY_MS)
        assert world.health.failed(failing, NOW_MS + later_ms)
        await world.health.flush()
        alerts += [row.alert_id for row in world.alerts]
    assert len(alerts) == 2
    assert len(set(alerts)) == 1


async def test_what_could_not_be_written_is_written_later() -> None:
    world = World()
    world.is_away = True
    world.health.failed(ENDPOINT, NOW_MS)
    with pytest.raises(NotWritten, match="ConnectionError"):
        await world.health.flush()
    world.is_away = False
    await world.health.flush()
    assert world.written == [StateChange("whe_1", NOW_MS)]
