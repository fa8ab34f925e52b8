"""What is known of a VM on libvirt, what libvirt is told of it, and how its end is understood."""

import os
from pathlib import Path
from typing import Any

import pytest
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from engine.hosted.machine import Source
from schema.ids import DeviceId
from schema.objects.disk import BusType, DeviceNumber
from schema.objects.errors import AlreadyExists, DoesNotExist, DomainNotBuilt, InternalError
from schema.objects.halted import HALTED_VM
from schema.objects.network import LocalNetwork
from schema.objects.vbd import Vbd, VbdMode, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import (
    DirectBoot,
    Hvm,
    HvmInfo,
    IndirectBoot,
    PowerState,
    Pv,
    PvDirectBoot,
    PvIndirectBoot,
    PvInfo,
    StandardVga,
    Uefi,
    UefiVariables,
    Vm,
    Vtpm,
)
from virt.mark import instance_of, life_of, mark
from virt.xml import Element, attribute, node, parsed, written
from worker_kvm.kind import Kind
from worker_kvm.libvirt import machine as machines
from worker_kvm.libvirt.bootable import refuse_unless_bootable
from worker_kvm.libvirt.document import (
    QEMU,
    Surroundings,
    disk_node,
    domain_document,
    drive_node,
    free_place,
    nic_node,
)
from worker_kvm.libvirt.machine import (
    Disk,
    Domain,
    Machine,
    Nic,
    Stage,
    attached,
)
from worker_kvm.libvirt.persistent_state import forgetting_document, identity, is_kept, name_of
from worker_kvm.libvirt.saved import kind_in, moved, placed_disk, placed_nic, source_of, uuid_in
from worker_kvm.libvirt.states import vm_state
from worker_kvm.watched import Seen, Status

HVM = sample_vm(ty=Hvm(info=HvmInfo()))
KERNEL = DirectBoot(boot=PvDirectBoot(kernel="/k", ramdisk="/r", cmdline="a=b,c"))
PV = sample_vm(ty=Pv(info=PvInfo(boot=KERNEL, framebuffer=False)))
UUID = "6d1d6d4c-3d0a-4d0c-8a1e-0c2f3b8f1a11"
RAW = Source(path="/a,b.raw", format="raw")
AROUND = Surroundings("i", "v1", "tcg", bridged=True, console=Path("/run/1/console"))


def domain(vm: Vm = HVM, **fields: Any) -> Domain:
    usual = {"domid": 1, "uuid": "u", "life": "l", "vm": vm, "created_at": 5.0}
    return Domain.model_validate(usual | {"memory_target_bytes": 1 << 28, "vcpus": 2} | fields)


def machine(vm: Vm = HVM, **fields: Any) -> Machine:
    return Machine(id=vm.id, domain=domain(vm, **fields))


def vbd(device: str = "xvda", position: DeviceNumber | None = None, **fields: Any) -> Vbd:
    return Vbd(id=DeviceId("v1", device), position=position, **fields)


def vif(position: int, **fields: Any) -> Vif:
    usual = {"mac": f"52:54:00:00:00:{position & 0xFF:02x}"}
    return Vif(id=DeviceId("v1", str(position)), position=position, **(usual | fields))


def plugged(found: Machine, interface: Vif, *, bridged: bool = True) -> Machine:
    return machines.plugged(found, interface, bridged=bridged)


def disk_of(found: Machine, device: str = "xvda") -> Disk:
    disk = found.disk(DeviceId("v1", device))
    assert disk is not None
    return disk


def nic_of(found: Machine, device: str = "0") -> Nic:
    nic = found.nic(DeviceId("v1", device))
    assert nic is not None
    return nic


def test_a_vm_without_a_domain_has_none_to_use() -> None:
    blank = Machine(id="v1")
    assert refusal(blank.living) == DoesNotExist(klass="domain", id="v1")
    assert refusal(machine().launched) == DomainNotBuilt()
    assert machine(stage=Stage.LAUNCHED).launched().domid == 1


def test_disks_have_places() -> None:
    found = attached(machine(), vbd("hda", (BusType.IDE, 0, 0)), RAW)
    found = attached(found, vbd("xvda", (BusType.XEN, 0, 0)), RAW)
    found = attached(found, vbd("xvdb"), None)
    assert [disk.alias for disk in found.living().disks] == ["ua-sata0", "ua-scsi0", "ua-scsi1"]
    assert [disk.target for disk in found.living().disks] == ["sda", "sdg", "sdh"]
    assert attached(found, vbd("xvda"), None) is found
    assert attached(found, vbd("xvdz", (BusType.XEN, 30, 0)), None).living().disks[-1].target == "sdak"
    late = attached(machine(stage=Stage.LAUNCHED), vbd("hda", (BusType.IDE, 0, 0)), None)
    assert disk_of(late, "hda").bus == "scsi"
    taken = refusal(lambda: attached(found, vbd("other", (BusType.XEN, 0, 0)), None))
    assert taken == AlreadyExists(klass="vbd", id=f"{BusType.XEN}(0, 0)")
    assert isinstance(
        refusal(lambda: attached(found, vbd("far", (BusType.XEN, 999, 0)), None)), InternalError
    )


def test_interfaces_have_places() -> None:
    found = plugged(plugged(machine(), vif(0)), vif(1))
    assert [nic.alias for nic in found.living().nics] == ["ua-nic0-0", "ua-nic1-1"]
    assert plugged(found, vif(0)) is found
    other = vif(0).model_copy(update={"id": DeviceId("v1", "other")})
    assert refusal(lambda: plugged(found, other)) == AlreadyExists(klass="vif", id="0")
    assert isinstance(refusal(lambda: plugged(found, vif(8))), InternalError)
    assert nic_of(plugged(machine(), vif(0), bridged=False)).tap is None
    assert nic_of(found).tap == "xl.0"


def test_a_document_says_all_of_a_domain_with_a_kernel() -> None:
    found = plugged(attached(machine(PV), vbd(), RAW), vif(2))
    found = found.with_disk(disk_of(found).model_copy(update={"activated": True}))
    found = attached(found, vbd("xvdq"), RAW)
    document = domain_document(found.living(), AROUND)
    assert document.findtext("name") == name_of(found.living().uuid) == "xenops-u"
    assert [document.findtext(f"os/{tag}") for tag in ("kernel", "initrd", "cmdline")] == [
        "/k",
        "/r",
        "a=b,c",
    ]
    assert document.findtext("on_reboot") == "destroy"
    assert attribute(document, "devices/video/model", "type") == "none"
    assert len(document.findall("devices/disk")) == 1
    assert attribute(document, "devices/disk/driver", "type") == "raw"
    assert attribute(document, "devices/disk/source", "file") == "/a,b.raw"
    assert attribute(document, "devices/interface/address", "bus") == "3"
    assert document.find("devices/disk/boot") is None
    assert document.find("features/tcg") is not None
    text = written(mark(AROUND.instance, AROUND.vm, found.living().life))
    assert (life_of(text), instance_of(text)) == ("l", "i")
    assert (life_of(None), instance_of(None)) == (None, None)


def test_a_document_says_what_a_firmware_tries() -> None:
    hvm = sample_vm(ty=Hvm(info=HvmInfo(boot_order="dcx", video=StandardVga())))
    found = attached(machine(hvm), vbd("hda", (BusType.IDE, 0, 0)), RAW)
    found = attached(found, vbd("cd", (BusType.IDE, 1, 0), ty=VbdType.CDROM), None)
    for disk in found.living().disks:
        found = found.with_disk(disk.model_copy(update={"activated": True}))
    found = plugged(found, vif(0, carrier=False), bridged=False)
    around = Surroundings("i", "v1", "kvm", bridged=False, console=Path("/c"))
    document = domain_document(found.living(), around)
    disks = {attribute(disk, "alias", "name"): disk for disk in document.findall("devices/disk")}
    assert attribute(disks["ua-sata1"], "boot", "order") == "1"
    assert attribute(disks["ua-sata0"], "boot", "order") == "2"
    assert document.find("devices/interface/boot") is None
    assert document.get("type") == "kvm"
    assert attribute(document, "devices/video/model", "type") == "vga"
    assert attribute(document, "devices/interface", "type") == "user"
    assert attribute(document, "devices/interface/link", "state") == "down"


def test_a_guest_with_a_boot_loader_of_its_own_is_left_to_the_firmware() -> None:
    boot = IndirectBoot(boot=PvIndirectBoot())
    document = domain_document(domain(sample_vm(ty=Pv(info=PvInfo(boot=boot)))), AROUND)
    assert document.find("os/kernel") is None
    bare = DirectBoot(boot=PvDirectBoot(kernel="/k"))
    document = domain_document(domain(sample_vm(ty=Pv(info=PvInfo(boot=bare)))), AROUND)
    assert document.find("os/initrd") is None
    assert document.find("os/cmdline") is None


def test_disks_and_interfaces_are_told_as_they_are() -> None:
    device = Disk(vbd=vbd("a b", mode=VbdMode.READ_ONLY), bus="scsi", unit=0, source=RAW)
    block = device.model_copy(update={"source": Source(path="/dev/x", format="raw", is_device=True)})
    assert attribute(disk_node(block), "source", "dev") == "/dev/x"
    assert disk_node(block).get("type") == "block"
    served = disk_node(device.model_copy(update={"source": Source(path="/s", format="raw", export="e")}))
    assert (served.get("type"), attribute(served, "source", "name")) == ("network", "e")
    assert attribute(served, "source/host", "socket") == "/s"
    assert disk_node(device).find("readonly") is not None
    assert disk_node(device).find("serial") is None
    assert disk_node(device.model_copy(update={"vbd": vbd()})).findtext("serial") == "xvda"
    assert disk_node(device).find("iotune") is None
    limited = vbd().model_copy(update={"extra_backend_keys": (("read_iops_sec", "9"),)})
    held = device.model_copy(update={"vbd": limited})
    assert disk_node(held).findtext("iotune/read_iops_sec") == "9"
    assert drive_node(held).find("iotune") is None
    assert attribute(drive_node(held), "source", "file") == RAW.path
    nic = Nic(vif=vif(0, backend=LocalNetwork(bridge="b")), tap="vnet0")
    assert attribute(nic_node(nic, bridged=True), "target", "dev") == "vnet0"
    assert attribute(nic_node(nic, bridged=True), "source", "bridge") == "b"
    assert nic_node(nic, bridged=True).find("address") is None
    assert nic_node(Nic(vif=vif(0)), bridged=True).find("target") is None


def test_states_are_told() -> None:
    console = Path("/c")
    assert vm_state(Machine(id="v1"), None, console) == HALTED_VM
    assert vm_state(Machine(id="v1", suspended=True), None, console).power_state is PowerState.SUSPENDED
    waiting = vm_state(machine(PV), None, console)
    assert (waiting.power_state, waiting.consoles, waiting.hvm) == (PowerState.PAUSED, (), False)
    running = machine(stage=Stage.LAUNCHED, screen="/vnc")
    state = vm_state(running, Seen(Status.RUNNING, 9), console)
    assert (state.power_state, state.memory_actual) == (PowerState.RUNNING, 9)
    assert [found.path for found in state.consoles] == ["/vnc", "/c"]
    assert len(vm_state(machine(stage=Stage.LAUNCHED), Seen(Status.PAUSED, 0), console).consoles) == 1
    assert (
        vm_state(running.but(suspended=True), Seen(Status.PAUSED, 0), console).power_state
        is PowerState.SUSPENDED
    )


def saved() -> Element:
    found = plugged(plugged(attached(machine(), vbd(), RAW), vif(0)), vif(1))
    found = found.with_disk(disk_of(found).model_copy(update={"activated": True}))
    document = domain_document(found.living(), AROUND)
    console = node("console", node("source", path="/old"))
    devices = document.find("devices")
    assert devices is not None
    devices.append(console)
    return parsed(written(document))


def test_a_pc_has_ide_and_slots_of_its_root_bus() -> None:
    vm = HVM.model_copy(update={"platformdata": (("machine", "pc"),)})
    found = attached(machine(vm, kind=Kind.PC), vbd(position=(BusType.IDE, 3, 0)), RAW)
    found = plugged(found.with_disk(found.living().disks[0].model_copy(update={"activated": True})), vif(2))
    document = domain_document(found.living(), AROUND)
    assert attribute(document, "os/type", "machine") == "pc"
    assert [each.get("model") for each in document.findall("./devices/controller[@type='pci']")] == [
        "pci-root"
    ]
    [place] = document.findall("./devices/disk/address")
    assert (place.get("bus"), place.get("target"), place.get("unit")) == ("1", "0", "1")
    assert (attribute(document, "devices/disk/target", "bus"), found.living().disks[0].alias) == (
        "ide",
        "ua-ide3",
    )
    fifth = attached(machine(vm, kind=Kind.PC), vbd(position=(BusType.IDE, 4, 0)), RAW)
    assert fifth.living().disks[0].bus == "scsi"
    [card] = document.findall("./devices/interface/address")
    assert (card.get("bus"), card.get("slot")) == ("0", str(0x12))
    assert kind_in(parsed(written(document))) is Kind.PC
    free = [free_place(Kind.PC, document), free_place(Kind.Q35, document)]
    assert [each is not None and each.get("slot") for each in free] == [str(0x17), False]


def test_the_kind_of_a_machine_is_its_documents() -> None:
    assert kind_in(saved()) is Kind.Q35
    assert kind_in(node("domain")) is Kind.Q35


def test_no_microvm_is_made_on_libvirt() -> None:
    small = PV.model_copy(update={"platformdata": (("machine", "microvm"),)})
    assert "which is not made on libvirt" in str(refusal(refuse_unless_bootable, small))


def test_a_saved_machine_is_found_in_its_document() -> None:
    document = saved()
    assert uuid_in(document) == "u"
    assert uuid_in(node("domain")) == ""
    on_sata = Disk(vbd=vbd(), bus="sata", unit=0, source=RAW)
    placed = placed_disk(document, on_sata)
    assert placed is not None
    assert placed.bus == "scsi"
    assert source_of(document, placed) == RAW
    assert source_of(document, on_sata) is None
    assert placed_disk(document, on_sata.model_copy(update={"unit": 3})) is None
    nic = placed_nic(document, Nic(vif=vif(1), plugs=9))
    assert nic is not None
    assert nic.alias == "ua-nic1-1"
    assert placed_nic(document, Nic(vif=vif(5))) is None
    nameless = node("interface", node("mac", address="52:54:00:00:00:77"), type="user")
    assert placed_nic(node("domain", node("devices", nameless)), Nic(vif=vif(0x77))) is None


def test_a_saved_machine_moves_to_the_files_and_bridges_of_now() -> None:
    now = plugged(
        attached(machine(), vbd(), Source(path="/dev/x", format="qcow2", is_device=True)),
        vif(0, backend=LocalNetwork(bridge="other"), carrier=False),
    )
    now = plugged(now, vif(1))
    around = Surroundings("i2", "v2", "tcg", bridged=True, console=Path("/new"))
    document = moved(saved(), now.living(), around)
    assert attribute(document, "devices/disk/source", "dev") == "/dev/x"
    assert attribute(document, "devices/disk", "type") == "block"
    assert attribute(document, "devices/interface/source", "bridge") == "other"
    assert attribute(document, "devices/interface/link", "state") == "down"
    assert attribute(document, "devices/interface/target", "dev") == "xl.0"
    assert attribute(document, "devices/serial/source", "path") == "/new"
    assert attribute(document, "devices/console/source", "path") == "/new"
    [metadata] = document.findall("metadata")
    assert instance_of(written(metadata[0])) == "i2"
    assert len(moved(node("domain"), domain(), around).findall("metadata")) == 1


def test_a_machine_from_elsewhere_names_nothing_of_this_host() -> None:
    now = plugged(plugged(attached(machine(PV), vbd(), RAW), vif(0)), vif(1))
    around = Surroundings("i2", "v2", "tcg", bridged=True, console=Path("/new"))
    foreign = saved()
    words = {"type": "hvm", "kernel": "/etc/shadow", "nvram": "/etc/passwd"}
    system = foreign.find("os")
    devices = foreign.find("devices")
    assert system is not None
    assert devices is not None
    system.clear()
    system.extend(node(tag, text=text) for tag, text in words.items())
    system[0].set("machine", "pc-q35-7.2")
    devices.append(node("emulator", text="/bin/sh"))
    devices.append(node("tpm", node("backend", node("device", path="/dev/sda"), type="passthrough")))
    devices.append(node("graphics", node("listen", type="socket", socket="/run/other"), type="vnc"))
    [channel] = devices.findall("channel")
    channel.append(node("source", mode="bind", path="/run/other"))
    commandline = foreign.find(f"{{{QEMU}}}commandline")
    assert commandline is not None
    commandline.append(node(f"{{{QEMU}}}arg", value="-fsdev"))
    text = written(moved(foreign, now.living(), around))
    assert "pc-q35-7.2" in text
    for word in ("/etc", "/bin/sh", "/dev/sda", "/run/other", "fsdev"):
        assert word not in text
    for device in (node("hostdev"), node("disk", node("alias", name="ua-scsi9")), node("interface")):
        stranger = saved()
        found = stranger.find("devices")
        assert found is not None
        found.append(device)
        assert "which the VM has not here" in str(refusal(moved, stranger, now.living(), around))


def test_what_cannot_boot_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = tmp_path / "kernel"
    kernel.touch()

    def direct(**files: Any) -> Vm:
        return sample_vm(ty=Pv(info=PvInfo(boot=DirectBoot(boot=PvDirectBoot(**files)))))

    refuse_unless_bootable(HVM)
    refuse_unless_bootable(sample_vm(ty=Pv(info=PvInfo(boot=IndirectBoot(boot=PvIndirectBoot())))))
    refuse_unless_bootable(direct(kernel=str(kernel)))
    for vm, words in (
        (direct(kernel="/none"), "its kernel is '/none', and it is no file"),
        (direct(kernel=str(kernel), ramdisk="/none"), "its ramdisk"),
    ):
        assert words in str(refusal(refuse_unless_bootable, vm))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "it cannot be read" in str(refusal(refuse_unless_bootable, direct(kernel=str(kernel))))


UEFI = Uefi(variables=UefiVariables())


def test_a_document_has_firmware_tpm_and_the_port_of_an_agent() -> None:
    whole = sample_vm(ty=Hvm(info=HvmInfo(firmware=UEFI, tpm=Vtpm(uuid=UUID))))
    document = domain_document(domain(whole), AROUND)
    assert attribute(document, "os/loader", "secure") == "no"
    assert attribute(document, "os/nvram", "template") == "/usr/share/OVMF/OVMF_VARS_4M.fd"
    assert attribute(document, "devices/tpm/backend", "persistent_state") == "yes"
    assert attribute(document, "devices/channel/target", "name") == "org.qemu.guest_agent.0"
    assert document.find("features/smm") is None
    plain = domain_document(domain(), AROUND)
    assert (plain.find("os/loader"), plain.find("devices/tpm")) == (None, None)


def test_what_must_be_signed_has_keys_that_the_system_cannot_change() -> None:
    vm = sample_vm(ty=Hvm(info=HvmInfo(firmware=UEFI)), platformdata=(("secureboot", "true"),))
    document = domain_document(domain(vm), AROUND)
    assert attribute(document, "os/loader", "secure") == "yes"
    assert attribute(document, "os/nvram", "template") == "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
    assert attribute(document, "features/smm", "state") == "on"


def test_libvirt_knows_a_vm_by_the_same_uuid_in_all_its_lives() -> None:
    assert identity("i", UUID) == identity("j", UUID) == UUID
    assert identity("i", "v1") == identity("i", "v1") != identity("j", "v1")
    assert identity("i", UUID.replace("-", "")) != UUID
    uefi, bare = sample_vm(ty=Hvm(info=HvmInfo(firmware=UEFI))), sample_vm(ty=Hvm(info=HvmInfo()))
    assert (is_kept(uefi), is_kept(bare)) == (True, False)
    document = forgetting_document(UUID, uefi)
    assert document.findtext("name") == name_of(UUID)
    assert document.find("os/nvram") is not None
