"""Agents of libvirt's guests: when they are asked, and what is made of their answers."""

import queue
from collections.abc import Iterator

import pytest
from virt.values import VirtError
from worker_kvm.libvirt.agents import GuestAgents
from worker_kvm.libvirt.guest_agent import told_of
from worker_kvm.qemu.agents import Patience
from worker_kvm.qemu.guest_agent import Told

PATIENCE_S = 120.0
QUICK = Patience(first_pause_s=0.001, pause_s=0.001)
FIRST, SECOND = Told((("data/host_name_dns", "web1"),)), Told((("data/host_name_dns", "web2"),))

SAID = {
    "os.id": "debian",
    "os.pretty-name": "Debian GNU/Linux 12",
    "os.version-id": "12",
    "hostname": "web1",
    "if.count": 2,
    "if.0.hwaddr": "00:00:00:00:00:00",
    "if.0.addr.count": 1,
    "if.0.addr.0.addr": "127.0.0.1",
    "if.1.hwaddr": "52:54:00:00:00:01",
    "if.1.addr.count": 2,
    "if.1.addr.0.addr": "192.0.2.7",
    "if.1.addr.1.addr": "fe80::1%eth0",
}


def test_what_libvirt_has_heard_is_as_what_an_agent_says() -> None:
    told = told_of(SAID, {"available": 96, "unused": 64, "actual": 128, "rss": 7})
    assert dict(told.system)["data/os_name"] == "Debian GNU/Linux 12"
    assert dict(told.system)["data/host_name_dns"] == "web1"
    assert told.addresses is not None
    assert told.addresses["52:54:00:00:00:01"] == ("192.0.2.7", "fe80::1")
    assert told.memory_kib == (96, 64)


def test_a_guest_that_lies_is_told_of_in_what_makes_sense() -> None:
    told = told_of({"if.count": 1 << 40, "if.0.addr.count": "many", "hostname": 7}, {})
    assert (told.system, told.memory_kib) == ((), None)


class Guests:
    """What is asked of guests, answered by the test."""

    def __init__(self) -> None:
        self.answers: queue.Queue[Told | Exception] = queue.Queue()
        self.changes: queue.Queue[str] = queue.Queue()
        self.agents = GuestAgents(self.ask, self.changes.put, QUICK)

    def ask(self, uuid: str) -> Told:
        assert uuid == "u"
        answer = self.answers.get(timeout=PATIENCE_S)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(name="guests")
def make_guests() -> Iterator[Guests]:
    guests = Guests()
    yield guests
    guests.agents.closed("u")
    guests.answers.put(SECOND)  # one that is just asked
    guests.agents.close()


def test_an_agent_is_asked_again_and_what_is_new_is_told(guests: Guests) -> None:
    for answer in (VirtError("it does not answer"), RuntimeError("a fault"), FIRST, FIRST, SECOND):
        guests.answers.put(answer)
    guests.agents.opened("u")
    assert guests.agents.is_there("u")
    for _ in range(2):
        assert guests.changes.get(timeout=PATIENCE_S) == "u"
    assert guests.changes.empty()
    assert guests.agents.told("u") == SECOND


def test_what_a_guest_said_stands_while_its_port_is_closed_and_goes_with_its_domain(guests: Guests) -> None:
    guests.answers.put(FIRST)
    guests.agents.opened("u")
    guests.changes.get(timeout=PATIENCE_S)
    guests.agents.closed("u")
    assert not guests.agents.is_there("u")
    assert guests.agents.told("u") == FIRST
    guests.agents.forget("u")
    assert guests.agents.told("u") is None
