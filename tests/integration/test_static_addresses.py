"""Addresses of interfaces that a real guest's agent sets, on QEMU and on libvirt; and agents that cannot."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance.subject import refusal
from libvirt_room import LibvirtRoom, await_that
from qemu_host import GUEST, VM, Host, line, vif
from schema.ids import DeviceId
from schema.objects.disk import LocalDisk
from schema.objects.errors import InternalError, Unimplemented
from schema.objects.vif import Autoconf6, Dhcp4, Static4, Static6, Unspecified4, Vif
from schema.objects.vm import Vm
from stack.console import Console

SET = "xenserver/device/vif/0/static-ip-setting"
FEATURE = ("control/feature-static-ip-setting", "1")
FOUR = Static4(addresses=("192.0.2.7/24",), gateway="192.0.2.1")
SIX = Static6(addresses=("2001:db8::7/64",), gateway="2001:db8::1")


@pytest.fixture(name="host", params=["qemu", "libvirt"])
def make_host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path) if request.param == "qemu" else LibvirtRoom() as host:
        yield host


def began(host: Host, *vifs: Vif) -> Vm:
    """A VM with an agent whose guest has begun to boot."""
    vm = host.vm().model_copy(update={"ty": GUEST.builder(with_agent=True)})
    host.create(vm)
    for each in vifs:
        host.backend.vif.plug(host.task, VM, each)
    host.launch(vm)
    return vm


def addresses(host: Host, vm: Vm, number: int = 0) -> set[str]:
    """Those that the agent tells of an interface, but for what each has by itself."""
    keys = (f"attr/vif/{number}/ipv4/", f"attr/vif/{number}/ipv6/")
    found = {value for key, value in host.state(vm).guest_agent if key.startswith(keys)}
    return {address for address in found if not address.startswith("fe80")}


def await_addresses(host: Host, vm: Vm, *wanted: str, number: int = 0) -> None:
    await_that(lambda: addresses(host, vm, number) == set(wanted), f"the guest has {wanted}")


def answer(console: Console, command: str) -> str:
    """What the guest's shell says in one line."""
    console.say(f"echo answ\\er: $({command})")
    return line(console, "answer:").partition("answer:")[2].strip()


def set4(host: Host, vif: Vif, configuration: Any) -> None:
    host.backend.vif.set_ipv4_configuration(host.task, VM, vif, configuration)


def test_a_guest_has_the_addresses_that_its_interfaces_are_given(host: Host) -> None:
    first = vif(0, ipv4_configuration=FOUR, ipv6_configuration=SIX)
    vm = began(host, first)
    gateway = ("ip", "-n", host.namespace, "address", "add", "192.0.2.1/24", "dev", "xenbr0")
    subprocess.run(gateway, check=True)
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        line(console, "userland is up")
        await_addresses(host, vm, "192.0.2.7", "2001:db8::7")
        assert FEATURE in host.state(vm).guest_agent
        assert answer(console, "ip route | grep default") == "default via 192.0.2.1 dev eth0 metric 1"
        assert "via 2001:db8::1" in answer(console, "ip -6 route | grep default")
        assert "1 packets received" in answer(console, "ping -c 1 -W 100 192.0.2.1")
        answer(console, "ip address add 198.51.100.9/24 dev eth0")
        set4(host, first, Static4(addresses=("192.0.2.8/25",), gateway=None))
        await_addresses(host, vm, "192.0.2.8", "198.51.100.9", "2001:db8::7")
        assert answer(console, "ip route | grep default") == ""
        second = vif(1, ipv4_configuration=Static4(addresses=("203.0.113.5/24",), gateway=None))
        host.backend.vif.plug(host.task, VM, second)
        await_addresses(host, vm, "203.0.113.5", number=1)
        set4(host, first, Unspecified4())
        await_addresses(host, vm, "198.51.100.9", "2001:db8::7")


def test_what_a_guest_was_given_is_given_again_when_it_boots_anew_and_not_before(host: Host) -> None:
    first = vif(0, ipv4_configuration=FOUR)
    vm, image = began(host, first), LocalDisk(path=str(host.directory / "image"))
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        line(console, "userland is up")
        await_addresses(host, vm, "192.0.2.7")
        answer(console, "ip address del 192.0.2.7/24 dev eth0")
    host.backend.vm.save(host.task, vm, image, live=False)
    host.backend.vm.destroy_device_model(host.task, vm)
    host.backend.vm.destroy(host.task, vm)
    host.backend.stop()
    host.open()
    host.backend.vm.create(host.task, vm, Devices(), CreateOptions())
    host.backend.vm.restore(host.task, vm, Devices(vifs=(first,)), image)
    host.backend.vm.unpause(host.task, vm)
    host.backend.vif.set_ipv6_configuration(host.task, VM, first, SIX)
    await_addresses(host, vm, "2001:db8::7")
    host.backend.vm.destroy(host.task, vm)
    again = began(host, first)
    host.backend.vm.unpause(host.task, again)
    await_addresses(host, again, "192.0.2.7")


def test_why_a_guest_has_not_got_its_addresses_is_told(host: Host) -> None:
    first = vif(0)
    vm = began(host, first)
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        line(console, "userland is up")
        await_that(lambda: FEATURE in host.state(vm).guest_agent, "the agent is heard")
        answer(console, "ip link set eth0 address 52:54:00:00:00:99")
        set4(host, first, FOUR)
        words = f"no interface has the MAC {first.mac}"
        await_that(lambda: (f"{SET}/error-msg", words) in host.state(vm).guest_agent, words)
        console.say("set -- $(ps | grep 'qemu-g[a]'); kill $1")
        console.say("until qemu-ga -m virtio-serial -p /dev/vport* -t /tmp -b guest-exec; do :; done &")
        words = "its agent runs no programs: allow it guest-exec"
        await_that(lambda: (f"{SET}/error-msg", words) in host.state(vm).guest_agent, words)
        assert FEATURE not in host.state(vm).guest_agent
        set4(host, first, Unspecified4())
        await_that(lambda: f"{SET}/error-msg" not in dict(host.state(vm).guest_agent), "nothing is wanted")


def test_what_no_agent_can_set_is_refused(host: Host) -> None:
    first, verbs = vif(0), host.backend.vif
    began(host, first)
    for configuration in (
        Static4(addresses=(), gateway=None),
        Static4(addresses=("192.0.2.7",), gateway=None),
    ):
        assert isinstance(refusal(lambda: set4(host, first, configuration)), InternalError)  # noqa: B023
    assert refusal(lambda: set4(host, first, Dhcp4())) == Unimplemented(what="VIF.set_ipv4_configuration")
    assert refusal(lambda: verbs.set_ipv6_configuration(host.task, VM, first, Autoconf6())) == Unimplemented(
        what="VIF.set_ipv6_configuration"
    )
    bad = vif(1, ipv4_configuration=Static4(addresses=("$(reboot)/24",), gateway=None))
    assert isinstance(refusal(lambda: verbs.plug(host.task, VM, bad)), InternalError)
    assert not verbs.get_state(VM, bad.model_copy(update={"id": DeviceId(VM, "1")})).plugged
