"""Debian's qemu-guest-agent in a real guest: what it tells each worker; and a guest that has none or lies."""

from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest
from engine.conformance.subject import refusal
from qemu_host import GUEST, VM, Host, line, vif
from schema.objects.errors import InternalError
from schema.objects.vm import PowerState, Vm
from worker_kvm.qemu.agents import Patience

NEVER_S = 1e6
ADDRESS = ("attr/vif/0/ipv4/0", "192.0.2.7")


@pytest.fixture(name="host")
def make_host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path, bridged=False) as host:
        yield host


def until_told(host: Host, vm: Vm, *key: str) -> dict[str, str]:
    while key not in host.state(vm).guest_agent:
        host.told()
    return dict(host.state(vm).guest_agent)


def until_told_any(host: Host, vm: Vm, value: str) -> dict[str, str]:
    while value not in dict(host.state(vm).guest_agent).values():
        host.told()
    return dict(host.state(vm).guest_agent)


def test_an_agent_is_heard_by_each_worker_as_long_as_its_guest_is_there(host: Host) -> None:
    vm = host.vm().model_copy(update={"ty": GUEST.builder(with_agent=True)})
    host.create(vm)
    host.backend.vif.plug(host.task, VM, vif(0))
    host.launch(vm)
    assert host.state(vm).guest_agent == ()
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        line(console, "userland is up")
        console.say("hostname web1; ip addr add 192.0.2.7/24 dev eth0; ip link set eth0 up")
        told = until_told(host, vm, *ADDRESS)
        assert told["data/os_name"] == "Tiny guest 1.0 (xenops)"
        assert told["data/host_name_dns"] == "web1"
        assert told["data/os_uname"].endswith("-amd64")
        assert 8 << 10 < int(told["data/meminfo_free"]) < int(told["data/meminfo_total"]) < 96 << 10
        assert host.state(vm).pv_drivers_detected
        host.backend.stop()
        host.open()
        until_told(host, vm, *ADDRESS)
        console.say("hostname web2")
        until_told(host, vm, "data/host_name_dns", "web2")
    host.backend.vm.destroy(host.task, vm)
    assert host.state(vm).guest_agent == ()


def test_new_addresses_are_asked_for_when_qemu_tells_of_other_frames(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[None] = []

    def pauses(_: Patience) -> Iterator[float]:
        """Asked once when it comes up, and then once for each thing that happens."""
        begun.append(None)
        return chain([0.5] if len(begun) > 1 else [], repeat(NEVER_S))

    monkeypatch.setattr(Patience, "pauses", pauses)
    vm = host.vm().model_copy(update={"ty": GUEST.builder(with_agent=True)})
    host.create(vm)
    host.backend.vif.plug(host.task, VM, vif(0))
    host.launch(vm)
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        line(console, "userland is up")
        console.say("ip addr add 192.0.2.7/24 dev eth0; ip link set eth0 up")
        until_told(host, vm, *ADDRESS)
        console.say("ip -6 addr add 2001:db8::7/64 dev eth0")
        told = until_told_any(host, vm, "2001:db8::7")
        assert told["attr/vif/0/ipv4/0"] == "192.0.2.7"


def test_a_guest_without_an_agent_or_with_one_that_lies_harms_nobody(host: Host) -> None:
    """But itself: a Linux whose port nobody empties waits for that with its processor."""
    vm = host.vm()
    host.start(vm)
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        line(console, "userland is up")
        error = refusal(lambda: host.backend.vm.s3suspend(host.task, vm))
        assert isinstance(error, InternalError)
        assert error.message.endswith("give it UEFI as firmware")
        host.backend.vm.s3resume(host.task, vm)
        console.say("head -c 8000000 /dev/zero >$(echo /dev/vport*) & sleep 1; echo l\\ies")
        line(console, "lies")
        host.backend.vm.pause(host.task, vm)
        host.backend.vm.unpause(host.task, vm)
        assert host.state(vm).guest_agent == ()
        assert host.state(vm).power_state is PowerState.RUNNING
