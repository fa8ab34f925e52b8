"""The end of a VM's domain that libvirt tells when the VM's next one is there is not the end of that."""

from pathlib import Path

import pytest
from schema.atomics.vm import DomainAction
from virt.values import Ended, How, Resumed
from worker_kvm.libvirt.live import Live
from worker_kvm.libvirt.lives import HEARD_WITHIN_S, Lives

DESTROYED = Ended("u", How.DESTROYED)


class Told:
    """Hears nothing but ends."""

    def __init__(self) -> None:
        self.ended: list[DomainAction] = []

    def on_ended(self, uuid: str, action: DomainAction) -> None:
        assert uuid == "u"
        self.ended.append(action)

    def on_status(self, uuid: str) -> None:
        pass

    def on_device(self, uuid: str, alias: str) -> None:
        pass

    def on_clock(self, uuid: str, clock_s: int) -> None:
        pass

    def on_agent(self, uuid: str, *, is_open: bool) -> None:
        pass


class World:
    """A VM's domains, one after the other, and a clock."""

    def __init__(self, log: Path) -> None:
        self.now = 0.0
        self.told = Told()
        self.lives = Lives(lambda: self.now)
        self._log = log

    def begin(self) -> Live:
        return self.lives.add(Live("u", self._log, self.told))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "log")


def test_an_end_that_is_told_late_is_not_that_of_the_next_domain(world: World) -> None:
    world.begin().leave()
    world.lives.end("u")
    following = world.begin()
    world.lives.hear(DESTROYED)
    assert (world.told.ended, following.is_over) == ([], False)
    world.lives.hear(DESTROYED)
    assert world.told.ended == [DomainAction.POWEROFF]


def test_an_end_that_was_heard_in_time_is_not_waited_for(world: World) -> None:
    world.begin().leave()
    world.lives.hear(DESTROYED)
    world.lives.end("u")
    assert "u" not in world.lives
    world.begin()
    world.lives.hear(DESTROYED)
    assert world.told.ended == [DomainAction.POWEROFF]


def test_an_end_that_was_missed_hides_no_later_one(world: World) -> None:
    world.begin().leave()
    world.lives.end("u")
    world.begin()
    world.lives.begin_anew()
    world.lives.hear(DESTROYED)
    assert world.told.ended == [DomainAction.POWEROFF]


def test_an_end_is_not_waited_for_without_end(world: World) -> None:
    world.begin().leave()
    world.lives.end("u")
    world.begin()
    world.now = HEARD_WITHIN_S
    world.lives.hear(DESTROYED)
    assert world.told.ended == [DomainAction.POWEROFF]


def test_what_is_not_ours_is_heard_by_nobody(world: World) -> None:
    world.lives.hear(Resumed("u"))
    world.lives.end("u")
    world.begin()
    world.lives.forget("u")
    assert list(world.lives) == []
