"""A domain in libxl's JSON, from values alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from engine.conformance.samples import sample_vbd, sample_vm
from engine.conformance.subject import refusal
from engine.hosted.machine import Source
from engine.refusals import bridge_of
from schema.ids import DeviceId
from schema.objects.disk import BusType
from schema.objects.errors import Unimplemented
from schema.objects.host import NumaAffinityPolicy
from schema.objects.network import LocalNetwork, SriovNetwork
from schema.objects.pci import PciAddress
from schema.objects.vbd import VbdMode, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import (
    Cirrus,
    DirectBoot,
    Hvm,
    HvmInfo,
    IndirectBoot,
    Pv,
    PvDirectBoot,
    Pvh,
    PvIndirectBoot,
    PvInfo,
    PvInPvh,
    SchedulerParams,
    StandardVga,
    Uefi,
    UefiVariables,
    Vm,
    Vtpm,
)
from worker_xen.xenlight.config import booting, domain_config, pci_config, placing, scheduling
from worker_xen.xenlight.machine import Machine, attached, created, plugged

CONFIGS = Path(__file__).parent / "configs"
KERNEL = PvInfo(boot=DirectBoot(boot=PvDirectBoot(kernel="/k", ramdisk="/i", cmdline="console=hvc0")))
BARE_KERNEL = PvInfo(boot=DirectBoot(boot=PvDirectBoot(kernel="/k")))
LOADER = PvInfo(boot=IndirectBoot(boot=PvIndirectBoot()))


def machine_of(vm: Vm) -> Machine:
    machine = created(Machine(id=vm.id), vm, vm.id, 1.0)
    disk = sample_vbd("xvda", position=(BusType.XEN, 0, 0))
    drive = sample_vbd("xvdb", position=(BusType.XEN, 1, 0), ty=VbdType.CDROM, mode=VbdMode.READ_ONLY)
    machine = attached(machine, disk, Source(path="/d.qcow2", format="qcow2"))
    machine = attached(attached(machine, drive, None), sample_vbd("not-activated"), None)
    for vbd in (disk, drive):
        found = machine.disk(vbd.id)
        assert found is not None
        machine = machine.with_disk(found.model_copy(update={"activated": True}))
    limited = Vif(id=DeviceId(vm.id, "0"), mac="00:16:3e:00:00:01", rate=(1024, 50_000))
    return plugged(plugged(machine, limited), Vif(id=DeviceId(vm.id, "1"), position=1))


VMS = {
    "pv": sample_vm(ty=Pv(info=KERNEL), vcpus=1),
    "pvh": sample_vm(ty=Pvh(info=BARE_KERNEL)),
    "hvm": sample_vm(ty=Hvm(info=HvmInfo(video=StandardVga(), keymap="de"))),
}


@pytest.mark.parametrize("name", sorted(VMS))
def test_a_domain_is_what_libxl_is_told(name: str) -> None:
    vm = VMS[name]
    config = domain_config(vm.id, machine_of(vm).living())
    assert json.dumps(config, indent=2) + "\n" == (CONFIGS / f"{name}.json").read_text()


def test_a_domain_that_gets_pci_devices_is_told_so_from_the_beginning() -> None:
    """Xen gives none to another one."""
    domain = machine_of(VMS["pv"]).with_domain(gets_pcis=True).living()
    assert domain_config("v1", domain)["c_info"]["passthrough"] == "enabled"


@pytest.mark.parametrize(
    ("ty", "what"),
    [
        (PvInPvh(info=KERNEL), "VM.start of PV in PVH"),
        (Pv(info=LOADER), "VM.start with a boot loader"),
        (Hvm(info=HvmInfo(firmware=Uefi(variables=UefiVariables()))), "VM.start with UEFI firmware"),
        (Hvm(info=HvmInfo(tpm=Vtpm(uuid="u"))), "VM.start with a TPM"),
    ],
)
def test_what_cannot_be_booted_is_named(ty: Any, what: str) -> None:
    assert refusal(lambda: booting(sample_vm(ty=ty))) == Unimplemented(what=what)


@pytest.mark.parametrize(
    ("card", "wanted_mib", "given_mib"),
    [(Cirrus(), 0, 8), (Cirrus(), 4, 8), (Cirrus(), 12, 12), (StandardVga(), 4, 16), (StandardVga(), 32, 32)],
)
def test_a_picture_has_no_less_memory_than_libxl_demands(
    card: Cirrus | StandardVga, wanted_mib: int, given_mib: int
) -> None:
    booted = booting(sample_vm(ty=Hvm(info=HvmInfo(video=card, video_mib=wanted_mib))))
    assert booted["video_memkb"] == given_mib * 1024


def test_windows_is_shown_what_its_platform_says() -> None:
    vm = sample_vm(ty=Hvm(info=HvmInfo()), platformdata=(("viridian", "true"), ("viridian_stimer", "1")))
    assert booting(vm)["type.hvm"]["viridian_enable"] == [0, 1, 7, 8]


def test_weight_and_cap_are_given() -> None:
    vm = sample_vm(scheduler_params=SchedulerParams(priority=(512, 50), affinity=()))
    assert scheduling(vm) == {"weight": 512, "cap": 50}


def test_a_vm_runs_where_its_owner_allows_or_else_where_libxl_likes() -> None:
    free = sample_vm(scheduler_params=SchedulerParams(affinity=()))
    bound = sample_vm(vcpu_max=2, scheduler_params=SchedulerParams(affinity=((1, 9),)))
    assert placing(free, NumaAffinityPolicy.BEST_EFFORT, 4) == {"numa_placement": "True"}
    assert placing(free, NumaAffinityPolicy.ANY, 4) == {"numa_placement": "False"}
    assert placing(bound, NumaAffinityPolicy.BEST_EFFORT, 4) == {
        "numa_placement": "False",
        "vcpu_hard_affinity": [[1], [1]],
    }


def test_a_network_that_is_no_bridge_is_named() -> None:
    address = PciAddress(domain=0, bus=1, dev=2, fn=3)
    assert bridge_of(LocalNetwork(bridge="b")) == "b"
    error = refusal(lambda: bridge_of(SriovNetwork(address=address)))
    assert error == Unimplemented(what="VIF.plug to a Sriov network")
    config = pci_config(address, msi_translate=True, power_management=False)
    assert (config["func"], config["msitranslate"], config["power_mgmt"]) == (3, "True", "False")


def test_a_guest_goes_on_with_the_controller_that_came_while_it_ran() -> None:
    machine = machine_of(sample_vm(ty=Hvm(info=HvmInfo())))
    assert "extra_hvm" not in domain_config("v", machine.living())["b_info"]
    option, controller = domain_config("v", machine.with_domain(has_usb=True).living())["b_info"]["extra_hvm"]
    assert option == "-device"
    assert json.loads(controller)["driver"] == "qemu-xhci"
