"""What libvirt is told of a domain on Xen, its disks and its interfaces."""

from typing import Any

import pytest
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from engine.hosted.machine import Source
from schema.ids import DeviceId
from schema.objects.disk import BusType
from schema.objects.errors import Unimplemented
from schema.objects.network import LocalNetwork
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
    PvInPvh,
    SchedulerParams,
    StandardVga,
    Uefi,
    UefiVariables,
    Vm,
    Vtpm,
)
from virt.mark import instance_of, life_of
from virt.xml import Element, attribute, parsed, written
from worker_xen.libvirt.document import (
    Surroundings,
    console_of,
    disk_node,
    domain_document,
    domain_name,
    nic_node,
    refuse_unless_sayable,
    screen_of,
)
from worker_xen.xenlight.machine import Disk, Domain, Nic

BOOT = DirectBoot(boot=PvDirectBoot(kernel="/k", ramdisk="/r", cmdline="a=b"))
INFO = PvInfo(boot=BOOT, framebuffer=False)
PV, PVH, HVM = sample_vm(ty=Pv(info=INFO)), sample_vm(ty=Pvh(info=INFO)), sample_vm(ty=Hvm(info=HvmInfo()))
AROUND = Surroundings("i", "v1", cpus=4)
RAW, COW = Source(path="/a,b", format="raw"), Source(path="/c.qcow2", format="qcow2")
LIFE = "0123456789abcdef"


def domain(vm: Vm = PV, **fields: Any) -> Domain:
    usual = {
        "vm": vm,
        "uuid": "u",
        "created_at": 5.0,
        "life": LIFE,
        "memory_target_bytes": 1 << 26,
        "vcpus": 1,
    }
    return Domain.model_validate(usual | fields)


def disk(source: Source | None = RAW, number: int = 0, *, is_ide: bool = False, **fields: Any) -> Disk:
    vbd = Vbd(id=DeviceId("v1", f"d{number}"), position=(BusType.XEN, number, 0), **fields)
    return Disk(vbd=vbd, number=number, is_ide=is_ide, source=source, activated=True)


def vif(**fields: Any) -> Vif:
    usual = {"mac": "00:16:3e:00:00:02", "backend": LocalNetwork(bridge="xenbr0")}
    return Vif(id=DeviceId("v1", "2"), position=2, **(usual | fields))


def texts(document: Element, *paths: str) -> list[str | None]:
    return [document.findtext(path) for path in paths]


def test_a_document_says_all_of_a_pv_guest() -> None:
    later = disk(number=1).model_copy(update={"activated": False})
    document = domain_document(domain(disks=(disk(), later), nics=(Nic(vif=vif()),)), AROUND)
    assert document.get("type") == "xen"
    assert texts(document, "name", "uuid") == ["v1", "u"]
    assert texts(document, "os/type", "os/kernel", "os/initrd", "os/cmdline") == ["linux", "/k", "/r", "a=b"]
    assert attribute(document, "os/type", "machine") == "xenpv"
    assert texts(document, "on_poweroff", "on_reboot", "on_crash") == ["destroy", "preserve", "preserve"]
    assert texts(document, "memory", "currentMemory") == [str(PV.memory_static_max // 1024), str(1 << 16)]
    assert (document.findtext("vcpu"), attribute(document, "vcpu", "current")) == (str(PV.vcpu_max), "1")
    assert [found.find("source") is not None for found in document.findall("devices/disk")] == [True]
    assert attribute(document, "devices/interface/source", "bridge") == "xenbr0"
    assert attribute(document, "devices/console/target", "type") == "xen"
    assert document.find("features") is None
    metadata = document.find("metadata")
    assert metadata is not None
    assert (instance_of(written(metadata[0])), life_of(written(metadata[0]))) == ("i", LIFE)


def test_vcpus_are_bound_to_the_cpus_that_their_owner_allows() -> None:
    bound = PV.model_copy(
        update={"vcpu_max": 2, "scheduler_params": SchedulerParams(affinity=((1, 3), (0, 9)))}
    )
    pins = domain_document(domain(bound), AROUND).findall("cputune/vcpupin")
    assert [(pin.get("vcpu"), pin.get("cpuset")) for pin in pins] == [("0", "1,3"), ("1", "0")]
    assert domain_document(domain(PV), AROUND).find("cputune") is None


def test_pvh_differs_in_its_machine_and_its_clock() -> None:
    document = domain_document(domain(PVH), AROUND)
    assert (document.findtext("os/type"), attribute(document, "clock/timer", "mode")) == ("xenpvh", "native")
    bare = PvInfo(boot=DirectBoot(boot=PvDirectBoot(kernel="/k")), framebuffer=False)
    assert domain_document(domain(sample_vm(ty=Pvh(info=bare))), AROUND).find("os/initrd") is None


def test_a_guest_with_a_firmware_has_a_device_model() -> None:
    info = HvmInfo(boot_order="dcdx", video=StandardVga(), acpi=True, hap=True)
    drive = disk(None, 3, is_ide=True, ty=VbdType.CDROM)
    document = domain_document(domain(sample_vm(ty=Hvm(info=info)), disks=(drive,)), AROUND)
    assert [found.get("dev") for found in document.findall("os/boot")] == ["cdrom", "hd"]
    assert attribute(document, "features/hap", "state") == "on"
    assert attribute(document, "devices/graphics", "listen") == "127.0.0.1"
    assert attribute(document, "devices/video/model", "type") == "vga"
    found = document.find("devices/disk")
    assert found is not None
    assert (found.get("device"), attribute(found, "target", "dev"), found.find("source")) == (
        "cdrom",
        "hdd",
        None,
    )
    plain = domain_document(domain(sample_vm(ty=Hvm(info=HvmInfo(acpi=False, hap=False)))), AROUND)
    assert plain.find("features/acpi") is None
    assert attribute(plain, "features/hap", "state") == "off"


def test_a_medium_in_an_emulated_drive_is_the_device_models_whatever_it_is() -> None:
    """libxl refuses a domain with another one."""
    for source in (RAW, COW):
        drive = disk_node(HVM, disk(source, 3, is_ide=True, ty=VbdType.CDROM))
        assert (drive.get("device"), attribute(drive, "driver", "name")) == ("cdrom", "qemu")
    assert attribute(disk_node(HVM, disk(RAW)), "driver", "name") == "phy"
    assert attribute(disk_node(PV, disk(RAW, ty=VbdType.CDROM)), "driver", "name") == "phy"


def test_disks_are_told_as_they_are() -> None:
    raw, cow = disk_node(PV, disk()), disk_node(PV, disk(COW, mode=VbdMode.READ_ONLY))
    assert attribute(raw, "driver", "name") == "phy"
    assert attribute(raw, "source", "file") == "/a,b"
    assert raw.find("readonly") is None
    assert (attribute(cow, "driver", "name"), attribute(cow, "driver", "type")) == ("qemu", "qcow2")
    assert cow.find("readonly") is not None
    drive = disk_node(PV, disk(ty=VbdType.CDROM))
    assert drive.get("device") == "disk"
    assert drive.find("readonly") is not None


def test_interfaces_are_told_as_they_are() -> None:
    written_ = nic_node(Nic(vif=vif(mtu=9000, rate=(1024, 50_000))))
    assert attribute(written_, "mtu", "size") == "9000"
    assert attribute(written_, "bandwidth/outbound", "average") == "1024"
    usual = nic_node(Nic(vif=vif()))
    assert usual.find("mtu") is None
    assert usual.find("bandwidth") is None


def test_a_domain_has_the_name_of_its_vm_where_it_can_be_a_name() -> None:
    assert domain_name(domain(), "6d1d-4c") == "6d1d-4c"
    for vm in ("a/b", "..", "a b", ""):
        assert domain_name(domain(), vm) == "xenops-u"


@pytest.mark.parametrize(
    ("vm", "words"),
    [
        (sample_vm(ty=PvInPvh(info=INFO)), "PV in PVH"),
        (sample_vm(ty=Pv(info=PvInfo(boot=IndirectBoot(boot=PvIndirectBoot())))), "a boot loader"),
        (sample_vm(ty=Hvm(info=HvmInfo(firmware=Uefi(variables=UefiVariables())))), "UEFI"),
        (sample_vm(ty=Hvm(info=HvmInfo(tpm=Vtpm(uuid="6d1d6d4c-3d0a-4d0c-8a1e-0c2f3b8f1a11")))), "a TPM"),
    ],
)
def test_what_libvirt_has_no_words_for_is_named(vm: Vm, words: str) -> None:
    error = refusal(refuse_unless_sayable, vm)
    assert isinstance(error, Unimplemented)
    assert words in error.what
    refuse_unless_sayable(PV)


def test_consoles_are_found_in_what_libvirt_says() -> None:
    pv = parsed("<domain><devices><console tty='/dev/pts/1'/></devices></domain>")
    assert (console_of(pv), screen_of(pv)) == ("/dev/pts/1", None)
    hvm = parsed(
        "<domain><devices><serial><source path='/dev/pts/2'/></serial><graphics type='vnc' port='5900'/>"
        "</devices></domain>"
    )
    assert (console_of(hvm), screen_of(hvm)) == ("/dev/pts/2", 5900)
    assert console_of(parsed("<domain/>")) is None
