"""What a live domain on libvirt is known to do, and how its end and its suspend image are understood."""

from pathlib import Path

import pytest
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import refusal
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError
from schema.objects.errors import InternalError
from virt.seal import check_seal, seal
from virt.values import (
    AgentHeard,
    Ballooned,
    ClockSet,
    DeviceRemoved,
    DeviceStays,
    DomainInfo,
    DomainStatus,
    Ended,
    How,
    Panicked,
    Paused,
    Resumed,
    Slept,
    TrayMoved,
)
from worker_kvm.libvirt.ending import action_after
from worker_kvm.libvirt.live import Live
from worker_kvm.watched import Seen, Status

STARTED = "starting up libvirt version: 9.0.0\n"
POWERED_OFF = "qemu_system_shutdown_request reason=6\n"


@pytest.mark.parametrize(
    ("how", "log", "action"),
    [
        (How.SHUT_DOWN, STARTED + POWERED_OFF, DomainAction.POWEROFF),
        (How.SHUT_DOWN, POWERED_OFF + STARTED, DomainAction.REBOOT),
        (How.SHUT_DOWN, "", DomainAction.POWEROFF),
        (How.DESTROYED, STARTED, DomainAction.POWEROFF),
        (How.SAVED, STARTED, DomainAction.POWEROFF),
        (How.CRASHED, STARTED, DomainAction.CRASHDUMP),
        (None, STARTED + "shutting down, reason=shutdown", DomainAction.REBOOT),
        (None, STARTED + "shutting down, reason=destroyed", DomainAction.POWEROFF),
        (None, STARTED + "shutting down, reason=unheard", DomainAction.CRASHDUMP),
        (None, STARTED + POWERED_OFF, DomainAction.POWEROFF),
        (None, STARTED, DomainAction.CRASHDUMP),
    ],
)
def test_what_an_ended_guest_wants_is_understood(how: How | None, log: str, action: DomainAction) -> None:
    assert action_after(how, log) is action


class Told:
    """Who listens to a live domain."""

    def __init__(self) -> None:
        self.ended: list[DomainAction] = []
        self.statuses = 0
        self.agents: list[bool] = []
        self.clocks: list[int] = []
        self.devices: list[str] = []

    def on_ended(self, uuid: str, action: DomainAction) -> None:
        assert uuid == "u"
        self.ended.append(action)

    def on_status(self, uuid: str) -> None:
        assert uuid == "u"
        self.statuses += 1

    def on_device(self, uuid: str, alias: str) -> None:
        assert uuid == "u"
        self.devices.append(alias)

    def on_clock(self, uuid: str, clock_s: int) -> None:
        assert uuid == "u"
        self.clocks.append(clock_s)

    def on_agent(self, uuid: str, *, is_open: bool) -> None:
        assert uuid == "u"
        self.agents.append(is_open)


@pytest.fixture(name="told")
def make_told() -> Told:
    return Told()


@pytest.fixture(name="live")
def make_live(tmp_path: Path, told: Told) -> Live:
    return Live("u", tmp_path / "log", told)


def info(status: DomainStatus) -> DomainInfo:
    return DomainInfo("u", "n", status, 7, None)


def test_events_keep_a_live_domain_true(live: Live, told: Told) -> None:
    live.look(info(DomainStatus.PAUSED))
    assert (live.seen, told.statuses) == (Seen(Status.PAUSED, 7), 0)
    live.on_event(Resumed("u"))
    live.on_event(Ballooned("u", 5))
    assert (live.seen, told.statuses) == (Seen(Status.RUNNING, 5), 1)
    live.change(lambda: live.on_event(Paused("u")), Status.PAUSED)
    assert (live.status, told.statuses) == (Status.PAUSED, 1)
    live.look(info(DomainStatus.RUNNING))
    live.on_event(Panicked("u"))
    live.on_event(Ended("u", How.DESTROYED))
    live.on_event(Resumed("u"))
    assert (told.ended, live.asked, live.status) == (
        [DomainAction.CRASHDUMP],
        DomainAction.CRASHDUMP,
        Status.ENDED,
    )
    live.count_as_paused()
    assert live.status is Status.PAUSED


@pytest.mark.parametrize(
    "seen", [None, info(DomainStatus.ENDED), info(DomainStatus.CRASHED)], ids=["gone", "ended", "crashed"]
)
def test_what_was_missed_is_found_out(live: Live, told: Told, seen: DomainInfo | None) -> None:
    live.look(seen)
    assert told.ended == [DomainAction.CRASHDUMP]


def test_what_we_end_is_no_news(live: Live, told: Told) -> None:
    live.leave()
    live.on_event(Ended("u", How.DESTROYED))
    assert told.ended == []
    live.stay()
    live.on_event(Ended("u", How.DESTROYED))
    assert told.ended == [DomainAction.POWEROFF]


def test_a_guest_lets_go_of_a_device_or_refuses(live: Live, told: Told) -> None:
    live.expect_removal("a")
    live.on_event(DeviceRemoved("u", "a"))
    assert live.await_removal("a", 1.0)
    assert told.devices == []
    live.on_event(DeviceRemoved("u", "c"))
    live.on_event(TrayMoved("u", "d", is_open=False))
    live.on_event(TrayMoved("u", "e", is_open=True))
    assert told.devices == ["c", "e"]
    live.on_event(DeviceStays("u", "b"))
    assert not live.await_removal("b", 1.0)


def test_waiting_for_an_end_is_cancelled(live: Live) -> None:
    task = SuiteExecution()
    assert not live.wait_ended(task, 0.0)
    task.cancel()
    with pytest.raises(XenopsError):
        live.wait_ended(task, 60.0)


def test_a_sealed_image_is_whole_until_it_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"memory" * 300_000)
    seal(path)
    check_seal("v1", path)
    whole = path.read_bytes()
    for damaged, why in (
        (whole[:20], "ends too early"),
        (whole[:-1], "has no seal"),
        (whole[5:], "it says that it has 1800000 bytes"),
        (b"x" + whole[1:], "checksum differs"),
    ):
        path.write_bytes(damaged)
        assert why in message(path)
    path.unlink()
    assert "there is no suspend image" in message(path)


def message(path: Path) -> str:
    error = refusal(lambda: check_seal("v1", path))
    assert isinstance(error, InternalError)
    return error.message


def test_sleep_and_the_agents_port_are_heard(live: Live, told: Told) -> None:
    live.on_event(Slept("u", asleep=True))
    assert live.asleep
    live.on_event(Slept("u", asleep=False))
    assert not live.asleep
    live.look(DomainInfo("u", "n", DomainStatus.RUNNING, 7, None, asleep=True))
    assert (live.asleep, live.status) == (True, Status.RUNNING)
    live.on_event(AgentHeard("u", is_open=True))
    assert told.agents == [True]


def test_that_a_guest_has_set_its_clock_is_heard(live: Live, told: Told) -> None:
    live.on_event(ClockSet("u", -3600))
    assert told.clocks == [-3600]
