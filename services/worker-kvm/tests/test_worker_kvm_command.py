"""Command lines as reviewed: `commands/<name>.txt` is what QEMU is told for a VM of that kind, a word a line.

After a change that is meant, write them anew and review the difference:

    XENOPS_WRITE_COMMANDS=1 .venv/bin/pytest services/worker-kvm/tests/test_worker_kvm_command.py
"""

import os
from pathlib import Path
from typing import Any

import pytest
from engine.conformance.samples import sample_vm
from engine.hosted.machine import Source
from schema.ids import DeviceId
from schema.objects.disk import BusType
from schema.objects.vbd import Vbd, VbdMode, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import (
    DirectBoot,
    Hvm,
    HvmInfo,
    IndirectBoot,
    Pv,
    PvDirectBoot,
    Pvh,
    PvIndirectBoot,
    PvInfo,
    StandardVga,
    Uefi,
    UefiVariables,
    Vm,
    Vtpm,
)
from worker_kvm.accelerator import Accelerator
from worker_kvm.qemu.command import Inherited, Sockets, command_line
from worker_kvm.qemu.machine import Disk, Machine, attached, created, plugged
from worker_kvm.qemu.open_files import Given, Layer, Served

COMMANDS = Path(__file__).parent / "commands"
UUID = "7b719ce6-0b17-9733-e8ee-dbc1e6e7b701"
KERNEL = DirectBoot(
    boot=PvDirectBoot(kernel="/boot/vmlinuz", cmdline="console=ttyS0", ramdisk="/boot/initrd")
)
BARE_KERNEL = DirectBoot(boot=PvDirectBoot(kernel="/boot/vmlinuz"))
LOADER = IndirectBoot(boot=PvIndirectBoot(bootloader="pygrub"))


def vbd(vm: Vm, device: str, position: tuple[BusType, int, int], **fields: object) -> Vbd:
    return Vbd.model_validate({"id": DeviceId(vm.id, device), "position": position} | fields)


def activated(machine: Machine, vbd: Vbd, source: Source | None) -> Machine:
    machine = attached(machine, vbd, source)
    disk = machine.disk(vbd.id)
    assert isinstance(disk, Disk)
    return machine.with_disk(disk.model_copy(update={"activated": True}))


def with_devices(machine: Machine, vm: Vm) -> Machine:
    raw, qcow2 = Source(path="/d/a.raw", format="raw"), Source(path="/d/b.qcow2", format="qcow2")
    device = Source(path="/dev/sdz", format="raw", is_device=True)
    machine = activated(machine, vbd(vm, "hda", (BusType.IDE, 0, 0)), raw)
    machine = activated(machine, vbd(vm, "xvdb", (BusType.XEN, 1, 0)), qcow2)
    machine = activated(machine, vbd(vm, "xvdc", (BusType.XEN, 2, 0), mode=VbdMode.READ_ONLY), device)
    machine = activated(machine, vbd(vm, "xvdd", (BusType.XEN, 3, 0), ty=VbdType.CDROM), None)
    machine = attached(machine, vbd(vm, "xvde", (BusType.XEN, 4, 0)), raw)
    machine = plugged(machine, Vif(id=DeviceId(vm.id, "1"), position=1, mtu=9000), bridged=True)
    return plugged(machine, Vif(id=DeviceId(vm.id, "0"), position=0), bridged=False)


UEFI = Uefi(variables=UefiVariables())
CASES = {
    "firmware-with-devices": sample_vm("win, dows", ty=Hvm(info=HvmInfo(boot_order="dc"))),
    "firmware-standard-vga-uuid": sample_vm(UUID, ty=Hvm(info=HvmInfo(video=StandardVga()))),
    "kernel-without-screen": sample_vm(ty=Pvh(info=PvInfo(boot=KERNEL, framebuffer=False))),
    "kernel-with-screen": sample_vm(ty=Pv(info=PvInfo(boot=BARE_KERNEL))),
    "boot-loader-of-its-own": sample_vm(
        ty=Pv(info=PvInfo(boot=LOADER)), memory_static_max=100_000_000, vcpus=5
    ),
    "firmware-pc-with-devices": sample_vm(
        ty=Hvm(info=HvmInfo(boot_order="dc")), platformdata=(("machine", "pc"),)
    ),
    "kernel-microvm": sample_vm(
        ty=Pv(info=PvInfo(boot=BARE_KERNEL)), platformdata=(("machine", "microvm"),), vcpus=2, vcpu_max=4
    ),
    "firmware-uefi": sample_vm(ty=Hvm(info=HvmInfo(firmware=UEFI))),
    "firmware-secure-with-tpm-uefi": sample_vm(
        ty=Hvm(info=HvmInfo(firmware=UEFI, tpm=Vtpm(uuid=UUID))), platformdata=(("secureboot", "true"),)
    ),
}


def words(name: str, accelerator: Accelerator) -> list[str]:
    vm = CASES[name]
    machine = created(Machine(id=vm.id), vm, 7, 0.0)
    if name.endswith("with-devices"):
        machine = with_devices(machine, vm)
    if name.endswith("microvm"):
        machine = plugged(machine, Vif(id=DeviceId(vm.id, "1"), position=1), bridged=True)
    inherited = Inherited(
        monitor=9,
        console=10,
        agent=14,
        tpm=15 if "tpm" in name else None,
        taps={"nic1-0": 11},
        kernel=12 if name.startswith("kernel") else None,
        ramdisk=13 if name == "kernel-without-screen" else None,
        **given(name),
    )
    assert {9, 10, 11, 14, 30} <= set(inherited.descriptors)
    return command_line(machine.living(), accelerator, inherited)


def given(name: str) -> dict[str, Any]:
    nodes: dict[str, Given] = {}
    if name.endswith("uefi"):
        nodes = {"uefi-code": [Layer("raw", 1)], "uefi-variables": [Layer("raw", 2)]}
    elif name.endswith("with-devices"):
        chain = [Layer("qcow2", 2), Layer("qcow2", 3), Layer("raw", 4, is_device=True)]
        early = "ide" if "pc" in name else "sata"
        disks = ([Layer("raw", 1)], chain, Served("an, export", "30"))
        nodes = dict(zip((f"{early}0-node", "scsi1-node", "scsi2-node"), disks, strict=True))
    layers = {node: found for node, found in nodes.items() if not isinstance(found, Served)}
    files = [(20 + layer.fdset, node) for node, found in layers.items() for layer in found]
    return {"files": files, "connections": [30], "contents": nodes}


@pytest.mark.parametrize("name", CASES)
def test_what_qemu_is_told_is_what_was_reviewed(name: str) -> None:
    accelerator: Accelerator = "kvm" if name == "kernel-with-screen" else "tcg"
    text = "".join(f"{word}\n" for word in words(name, accelerator))
    path = COMMANDS / f"{name}.txt"
    if os.environ.get("XENOPS_WRITE_COMMANDS"):
        path.write_text(text)
    assert text == path.read_text()


def test_sockets_are_below_the_domains_directory() -> None:
    sockets = Sockets(Path("/run/x/7"))
    below = {sockets.monitor, sockets.console, sockets.agent, sockets.log, sockets.tpm_log, sockets.own}
    assert len(below) == 6
    assert {path.parent for path in below} == {sockets.directory}
    assert sockets.screen.parent == sockets.own


def test_a_qemu_that_awaits_a_state_is_just_the_machine_that_it_is_of() -> None:
    vm = sample_vm()
    domain = created(Machine(id=vm.id), vm, 7, 5.0).with_domain(machine="pc-q35-7.2").living()
    words = command_line(domain, "tcg", Inherited(3, 4, awaits_state=True))
    assert words[-2:] == ["-incoming", "defer"]
    assert words[words.index("-machine") + 1] == "pc-q35-7.2,vmport=off"
    later = command_line(domain, "tcg", Inherited(3, 4), "2023-11-14T23:13:20")
    assert later[later.index("-rtc") + 1] == "base=2023-11-14T23:13:20"


@pytest.mark.parametrize(
    ("kind", "place"), [("q35", '"bus": "port6"'), ("pc", '"bus": "pci.0", "addr": "0x16"')]
)
def test_a_machine_that_has_got_usbs_controller_is_put_together_with_it(kind: str, place: str) -> None:
    vm = sample_vm(platformdata=(("machine", kind),))
    domain = created(Machine(id=vm.id), vm, 7, 5.0).with_domain(usb_port=6).living()
    assert any(
        f'"driver": "qemu-xhci", "id": "usb", {place}' in word
        for word in command_line(domain, "tcg", Inherited(3, 4))
    )
