"""What a client is told of a VM under libxl."""

import pytest
from engine.conformance.samples import sample_vm
from schema.atomics.vm import DomainAction
from schema.objects.halted import HALTED_VM
from schema.objects.vm import ConsoleProtocol, PowerState
from worker_xen.xenlight.machine import Machine, created
from worker_xen.xenlight.states import action_request, port_of, vm_state
from worker_xen.xenlight.values import DomainInfo, LibxlError, domain_info

BARE = Machine(id="v1")
MADE = created(BARE, sample_vm(), "v1", 1.0)
RUNS = MADE.with_domain(domid=3)


def info(*, paused: bool = False, reason: str | None = None) -> DomainInfo:
    return DomainInfo(domid=3, uuid="u", paused=paused, reason=reason, memory_bytes=5, vcpus_online=1)


def test_what_libxl_does_not_say_is_zero_or_false() -> None:
    said = domain_info({"uuid": "u", "shutdown": True})
    assert said == DomainInfo(
        domid=0, uuid="u", paused=False, reason="poweroff", memory_bytes=0, vcpus_online=0
    )
    assert domain_info({"uuid": "u", "dying": True}).dying
    assert domain_info({"shutdown": False, "shutdown_reason": "crash"}).reason is None


def test_what_libxl_refuses_is_told_in_its_words() -> None:
    assert str(LibxlError("destroy a domain", -3, "no rights")) == "destroy a domain: no rights"
    assert str(LibxlError("destroy a domain", -3, "")) == "destroy a domain: libxl says no more than -3"


def test_without_a_domain_a_vm_is_halted_or_suspended() -> None:
    assert vm_state(BARE, None, None) == HALTED_VM
    assert vm_state(BARE.but(suspended=True), None, None).power_state is PowerState.SUSPENDED


def test_with_one_it_is_what_xen_says() -> None:
    assert vm_state(MADE, None, None).domids == ()
    assert vm_state(RUNS, info(paused=True), None).power_state is PowerState.PAUSED
    state = vm_state(RUNS, info(), "/dev/pts/1")
    assert (state.power_state, state.domids, state.memory_actual) == (PowerState.RUNNING, (3,), 5)
    assert [console.path for console in state.consoles] == ["/dev/pts/1"]
    shown = vm_state(RUNS, info(), "/dev/pts/1", 5901).consoles
    assert [(console.protocol, console.port) for console in shown] == [
        (ConsoleProtocol.RFB, 5901),
        (ConsoleProtocol.VT100, 0),
    ]
    saved = RUNS.with_domain(saved=True)
    assert vm_state(saved, info(reason="suspend"), None).power_state is PowerState.SUSPENDED


@pytest.mark.parametrize(
    ("text", "port"),
    [("5900", 5900), ("65535", 65535), (None, None), ("", None), ("0", None), ("65536", None), ("-1", None)],
)
def test_a_port_in_xenstore_is_a_number_that_a_port_can_have(text: str | None, port: int | None) -> None:
    assert port_of(text) == port


@pytest.mark.parametrize(
    ("machine", "seen", "action"),
    [
        (BARE, None, DomainAction.POWEROFF),
        (MADE, None, DomainAction.POWEROFF),
        (RUNS, info(), DomainAction.POWEROFF),
        (RUNS, info(reason="crash"), DomainAction.CRASHDUMP),
        (RUNS, info(reason="unknown"), DomainAction.POWEROFF),
        (RUNS.with_domain(saved=True, action=None), info(reason="suspend"), None),
    ],
)
def test_a_domain_asks_for_what_its_guest_ended_with(
    machine: Machine, seen: DomainInfo | None, action: DomainAction | None
) -> None:
    assert action_request(machine, seen) is action
