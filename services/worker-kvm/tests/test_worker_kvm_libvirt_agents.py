"""Agents of libvirt's guests: when they are asked, and what is made of their answers."""

import json
import queue
import threading
from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from typing import ClassVar, cast

import pytest
from schema.ids import DeviceId
from typing_extensions import override
from virt.connection import Connection
from virt.values import NoDomainError, VirtError
from worker_kvm.addresses import Addressed, Addresses, Order
from worker_kvm.libvirt.agents import GuestAgents
from worker_kvm.libvirt.asking import Asking
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


def test_what_comes_later_is_attended_to_at_once_and_by_one_at_a_time() -> None:
    asked, changes, going = queue.Queue[Told](), queue.Queue[str](), threading.Lock()
    begun = threading.Semaphore(0)

    def ask(_: str) -> Told:
        assert going.acquire(blocking=False)
        begun.release()
        try:
            return asked.get(timeout=PATIENCE_S)
        finally:
            going.release()

    agents = GuestAgents(ask, changes.put, Patience(first_pause_s=PATIENCE_S, pause_s=PATIENCE_S))
    agents.attend("u")  # nobody is there
    agents.opened("u")
    assert begun.acquire(timeout=PATIENCE_S)
    agents.attend("u")
    for told in (FIRST, SECOND):
        asked.put(told)
        assert changes.get(timeout=PATIENCE_S) == "u"
        assert agents.told("u") == told
    agents.close()


class Opening(Patience):
    """After the first opening once soon, else not for long."""

    openings: ClassVar[Iterator[float]] = iter((0.05,))

    @override
    def pauses(self) -> Iterator[float]:
        return chain((next(self.openings, PATIENCE_S),), repeat(PATIENCE_S))


def test_an_agent_that_was_started_anew_is_not_asked_for_the_one_before_too() -> None:
    asks, changes = queue.Queue[str](), queue.Queue[str]()

    def ask(uuid: str) -> Told:
        asks.put(uuid)
        return FIRST

    agents = GuestAgents(ask, changes.put, Opening())
    agents.opened("u")
    changes.get(timeout=PATIENCE_S)
    agents.closed("u")
    agents.opened("u")
    for _ in range(2):
        asks.get(timeout=PATIENCE_S)
    with pytest.raises(queue.Empty):
        asks.get(timeout=20 * 0.05)
    agents.close()


ORDER = Order(
    DeviceId("vm", "0"),
    0,
    ("m", "1", "+address", "192.0.2.7/24"),
    Addressed(device="0", plugs=0, has=Addresses(addresses=("192.0.2.7/24",))),
)


class Orders:
    """What is pending, until it is done."""

    def __init__(self) -> None:
        self.left = [ORDER]

    def pending(self, _: str) -> list[Order]:
        return list(self.left)

    def done(self, _: str, order: Order) -> None:
        self.left.remove(order)


class Virt:
    """A libvirtd with one guest, whose agent answers by the test's table; an error is libvirt's."""

    def __init__(self, **answers: object) -> None:
        self.answers = {"guest-info": INFO, "guest-exec": {"pid": 7}, "guest-exec-status": ENDED} | {
            name.replace("_", "-"): answer for name, answer in answers.items()
        }
        self.heard = 0

    def guest_info(self, _: str) -> Mapping[str, object]:
        self.heard += 1
        return SAID

    def memory_stats(self, _uuid: str, _period_s: int) -> Mapping[str, int]:
        return {}

    def ask_agent(self, _uuid: str, words: str, _timeout_s: int) -> str:
        answer = self.answers[json.loads(words)["execute"]]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, str) else json.dumps({"return": answer})


INFO = {"supported_commands": [{"name": "guest-exec", "enabled": True}]}
ENDED = {"exited": True, "exitcode": 0}


def asked(virt: Virt, orders: Orders) -> Told:
    return Asking(cast("Connection", virt), orders)("u")


def test_what_is_pending_is_done_through_libvirt_before_a_guest_tells() -> None:
    virt, orders = Virt(), Orders()
    told = asked(virt, orders)
    assert (told.faults, told.runs_programs, orders.left, virt.heard) == ((), True, [], 2)
    asked(virt, orders)
    assert virt.heard == 3


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"guest_info": VirtError("no such command")}, "its agent runs no programs: allow it guest-exec"),
        ({"guest_exec": VirtError("libvirt says no")}, "libvirt says no"),
        ({"guest_exec": "{]"}, "its agent does not answer as one does"),
        ({"guest_exec_status": {"exited": True, "exitcode": 1}}, "it ended with 1"),
    ],
)
def test_what_an_agent_cannot_do_is_told_with_what_it_knows(answers: dict[str, object], words: str) -> None:
    virt, orders = Virt(**answers), Orders()
    told = asked(virt, orders)
    assert (told.faults, orders.left, virt.heard) == (((0, words),), [ORDER], 1)
    assert told.addresses is not None


def test_a_domain_that_is_gone_is_no_fault_of_its_guests() -> None:
    with pytest.raises(NoDomainError):
        asked(Virt(guest_exec=NoDomainError("gone")), Orders())
