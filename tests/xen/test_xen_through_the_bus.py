"""A real VM on a real Xen through the whole bus; a stranger's domain on the same host is alive throughout."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bus.roles import Role
from schema.ids import DeviceId
from schema.objects.disk import BusType, Disk, LocalDisk, Vdi
from schema.objects.vbd import Vbd
from schema.objects.vm import PowerState, Vm
from xen_dom0 import ALL, FOR_LONG, Dom0
from xen_site import PATIENCE_S, STRANGER, UP, Site
from xenops.calls.vm import Destination

CLOCK_S = 60.0
"""So much dom0's clock, set when the machine was resumed, may be ahead of ours."""

DESTROY_ALL = "xl list | awk 'NR > 2 { print $2 }' | xargs --no-run-if-empty -n 1 xl destroy"
"""The stranger's domain, and what a test that failed has left: it would be in the next one's way."""

BACKENDS = ("classic", "xenlight", "libvirt") if os.environ.get(ALL) else ("classic",)


@pytest.fixture(name="site", scope="module", params=BACKENDS)
def run_site(
    request: pytest.FixtureRequest, dom0_of_our_time: Dom0, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    dom0 = dom0_of_our_time
    dom0.machine.check(f"cat > /root/stranger.cfg <<'E'\n{STRANGER}E\nxl create -q -p /root/stranger.cfg")
    site = Site(tmp_path_factory.mktemp("site"), dom0, request.param)
    try:
        stranger = site.domid_of("stranger")
        yield site
        assert site.domid_of("stranger") == stranger
        assert "Traceback" not in site.words()
    finally:
        site.close()
        dom0.machine.run(DESTROY_ALL)


def test_a_vm_lives_through_all_that_may_happen_to_it(site: Site) -> None:
    """Started, killed with its worker, rebooted, suspended, resumed and shut down, it is one VM."""
    vm, data = site.add("guest-1"), Vdi(name="sr/data")
    site.client.vbd.add(Vbd(id=DeviceId("guest-1", "xvdb"), position=(BusType.XEN, 1, 0), backend=data))
    site.done(site.client.vm.start("guest-1"))
    assert_promise_is_kept(site, vm)

    site.done(site.client.vm.unpause("guest-1"))
    said = site.until_said("guest-1", UP)
    assert "xvda:8388608" in said
    assert "xvdb:8388608" in said
    assert "eth0:00:16:3e:00:00:01" in said
    assert len(site.vdis_in_use()) == 1

    before = site.state("guest-1")
    site.crash_worker()
    assert site.state("guest-1") == before

    site.done(site.client.vm.reboot("guest-1", 300.0))
    site.until_said("guest-1", UP, times=2)
    assert site.state("guest-1").domids != before.domids
    assert site.state("guest-1").power_state is PowerState.RUNNING

    image = image_for(site.backend)
    site.done(site.client.vm.suspend("guest-1", image))
    assert site.state("guest-1").power_state is PowerState.SUSPENDED
    assert site.domid_of("guest-1") == ""
    assert site.vdis_in_use() == []
    site.done(site.client.vm.resume("guest-1", image))
    assert site.state("guest-1").power_state is PowerState.PAUSED
    site.done(site.client.vm.unpause("guest-1"))

    site.done(site.client.vm.shutdown("guest-1", 300.0))
    assert site.state("guest-1").power_state is PowerState.HALTED
    assert site.domid_of("guest-1") == ""
    assert site.said("guest-1").count(UP) == 2
    assert site.vdis_in_use() == []
    site.client.vm.remove("guest-1")
    assert_nothing_left(site, "guest-1")


def image_for(backend: str) -> Disk:
    """Where a suspend image goes: as xapi's to a VDI, but libvirt writes them to plain files alone."""
    return LocalDisk(path="/var/lib/guest-1.image") if backend == "libvirt" else Vdi(name="sr/memory")


def assert_promise_is_kept(site: Site, vm: Vm) -> None:
    """That of the walk-through, after VM.start."""
    state = site.state(vm.id)
    assert state.power_state is PowerState.PAUSED
    assert [str(domid) for domid in state.domids] == [site.domid_of(vm.id)]
    assert state.consoles[0].path.startswith("/dev/pts/")
    assert time.time() - PATIENCE_S < state.last_start_time < time.time() + CLOCK_S
    assert state.memory_target == vm.memory_dynamic_max
    assert state.vcpu_target == vm.vcpus
    disk = site.client.vbd.stat(DeviceId(vm.id, "xvda"))[1]
    interface = site.client.vif.stat(DeviceId(vm.id, "0"))[1]
    assert (disk.active, disk.plugged) == (True, True)
    assert (interface.active, interface.plugged) == (True, True)


def assert_nothing_left(site: Site, vm: str) -> None:
    left = site.dom0.machine.check("losetup --list --noheadings; ls /sys/class/net; xenstore-ls /libxl")
    assert vm not in left
    assert "vif" not in left


@FOR_LONG
def test_a_vm_migrates_to_another_domain_of_the_same_host(site: Site) -> None:
    """By all that a migration to another host takes: two leases, three connections, four points."""
    site.add("guest-4")
    site.done(site.client.vm.start("guest-4"))
    site.done(site.client.vm.unpause("guest-4"))
    site.until_said("guest-4", UP)
    before = site.state("guest-4")
    site.done(site.client.vm.migrate("guest-4", Destination(site.url, localhost=True)))
    state = site.state("guest-4")
    assert state.power_state is PowerState.RUNNING
    assert state.domids != before.domids
    assert [str(domid) for domid in state.domids] == [site.domid_of("guest-4")]
    assert site.client.vbd.stat(DeviceId("guest-4", "xvda"))[1].plugged
    assert site.client.vif.stat(DeviceId("guest-4", "0"))[1].plugged
    assert [vm.id for vm, _ in site.client.vm.list()] == ["guest-4"]
    site.done(site.client.vm.shutdown("guest-4", 300.0))
    assert site.said("guest-4").count(UP) == 1
    site.client.vm.remove("guest-4")
    assert_nothing_left(site, "guest-4")


@FOR_LONG
@pytest.mark.parametrize("does", ["poweroff", "panic"])
def test_a_guest_that_ends_by_itself_leaves_a_halted_vm(site: Site, does: str) -> None:
    """Nobody asked: the hypervisor tells. So says the VM of its guest's shutdown, and of its crash."""
    name = f"guest-{does}"
    site.add(name, f"xenops.then={does}")
    site.done(site.client.vm.start(name))
    site.done(site.client.vm.unpause(name))
    site.until(name, lambda state: state.power_state is PowerState.HALTED)
    site.client.vm.remove(name)
    assert_nothing_left(site, name)


@FOR_LONG
def test_a_guest_that_reboots_by_itself_is_started_anew(site: Site) -> None:
    """In another domain each time, until somebody shuts it down."""
    site.add("guest-5", "xenops.then=reboot")
    site.done(site.client.vm.start("guest-5"))
    before = site.state("guest-5")
    site.done(site.client.vm.unpause("guest-5"))
    site.until_said("guest-5", UP, times=2)
    site.until("guest-5", lambda state: bool(state.domids) and state.domids != before.domids)
    site.done(site.client.vm.shutdown("guest-5", None))
    assert site.state("guest-5").power_state is PowerState.HALTED
    site.client.vm.remove("guest-5")
    assert_nothing_left(site, "guest-5")


@FOR_LONG
def test_the_command_lists_and_starts_vms_from_another_machine(site: Site) -> None:
    """`xenops` runs beside the broker, far from dom0."""
    site.add("guest-3")
    told = {"XENOPS_BROKER": site.node.url_of(Role.CLIENT), "XENOPS_INSTANCE": site.instance}
    command = str(Path(sys.executable).with_name("xenops"))

    def xenops(*words: str) -> str:
        return subprocess.run(
            [command, *words], env=os.environ | told, capture_output=True, text=True, check=True
        ).stdout

    xenops("start", "guest-3")
    assert "guest-3" in xenops("list")
    assert site.domid_of("guest-3")
    site.done(site.client.vm.shutdown("guest-3", None))
    site.client.vm.remove("guest-3")
