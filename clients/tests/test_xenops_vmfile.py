"""VM files: friendly JSON in, objects of the interface out, good words for what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from schema.objects.disk import BusType, LocalDisk, Vdi
from schema.objects.metadata import Metadata
from schema.objects.pci import PciAddress
from schema.objects.vbd import VbdMode, VbdType
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
    Uefi,
    UefiVariables,
)
from schema.wire.codec import encode_text
from schema.wire.types import DeviceId
from xenops import vmfile, vmparts
from xenops.vmfile import VmFileError, parse_vm_file, read_vm_file

FILE = Path("/vms/web1.json")


def parse(**parts: Any) -> Metadata:
    return parse_vm_file(json.dumps(parts), FILE)


def complaint(**parts: Any) -> str:
    with pytest.raises(VmFileError) as raised:
        parse(**parts)
    return str(raised.value)


def test_an_id_is_enough() -> None:
    vm = parse(vm={"id": "web1"}).vm
    assert (vm.id, vm.name, vm.vcpus, vm.vcpu_max) == ("web1", "web1", 1, 1)
    assert vm.memory_static_max == vmparts.MEMORY_DEFAULT_BYTES
    assert vm.ty == Hvm(info=HvmInfo(boot_order="cdn"))


def test_a_kernel_is_started_directly_with_paths_relative_to_the_file() -> None:
    boot = {"kernel": "vmlinuz", "initrd": "/boot/initrd", "cmdline": "quiet"}
    direct = PvDirectBoot(kernel="/vms/vmlinuz", ramdisk="/boot/initrd", cmdline="quiet")
    assert parse(vm={"id": "a", "boot": boot}).vm.ty == Pvh(info=PvInfo(boot=DirectBoot(boot=direct)))
    bare = PvDirectBoot(kernel="/vms/vmlinuz")
    assert parse(vm={"id": "a", "boot": {"kernel": "vmlinuz"}}).vm.ty == Pvh(
        info=PvInfo(boot=DirectBoot(boot=bare))
    )


def test_a_bootloader_looks_at_the_first_disk() -> None:
    boot = {"bootloader": "pygrub", "cmdline": "console=hvc0"}
    drive, root = {"device": "xvdc", "type": "cdrom"}, {"device": "xvda", "disk": "root.raw"}
    data = {"device": "xvdb", "vdi": "sr/vdi"}
    asked = {"bootloader": "pygrub", "extra_args": "console=hvc0"}
    for vbds, disk in (
        ((drive, root, data), LocalDisk(path="/vms/root.raw")),
        ((data, root), Vdi(name="sr/vdi")),
    ):
        indirect = PvIndirectBoot.model_validate({**asked, "devices": (disk,)})
        expected = Pv(info=PvInfo(boot=IndirectBoot(boot=indirect)))
        assert parse(vm={"id": "a", "boot": boot}, vbds=vbds).vm.ty == expected
    words = "a bootloader needs a disk to look at: name one among vbds"
    assert words in complaint(vm={"id": "a", "boot": boot}, vbds=[drive])


def test_uefi_can_be_asked_for() -> None:
    info = HvmInfo(boot_order="cd", firmware=Uefi(variables=UefiVariables()))
    assert parse(vm={"id": "a", "boot": {"firmware": "uefi", "order": "cd"}}).vm.ty == Hvm(info=info)


@pytest.mark.parametrize(("memory", "mib"), [("512 MiB", 512), ("1GiB", 1024), (1048576, 1), ("2097152", 2)])
def test_memory_has_units(memory: object, mib: int) -> None:
    assert parse(vm={"id": "a", "memory": memory}).vm.memory_static_max == mib << 20


def test_devices_become_those_of_the_interface() -> None:
    metadata = parse(
        vm={"id": "a"},
        vbds=[
            {"device": "xvda", "disk": "root.qcow2"},
            {"device": "xvdb", "vdi": "sr/vdi", "mode": "ro"},
            {"device": "hdc", "type": "cdrom"},
        ],
        vifs=[{"device": "1", "mac": "52:54:00:12:34:56"}],
        pcis=[{"device": "0", "address": "0000:03:1f.2"}],
    )
    root, data, cd = metadata.vbds
    assert (root.id, root.backend) == (DeviceId("a", "xvda"), LocalDisk(path="/vms/root.qcow2"))
    assert (data.position, data.mode, data.backend) == (
        (BusType.XEN, 1, 0),
        VbdMode.READ_ONLY,
        Vdi(name="sr/vdi"),
    )
    assert (cd.position, cd.mode, cd.ty, cd.backend) == (
        (BusType.IDE, 2, 0),
        VbdMode.READ_ONLY,
        VbdType.CDROM,
        None,
    )
    assert metadata.vifs[0].position == 1
    assert metadata.pcis[0].address == PciAddress(domain=0, bus=3, dev=31, fn=2)


def test_exported_metadata_is_taken_as_it_is() -> None:
    metadata = parse(vm={"id": "a"}, vbds=[{"device": "xvda", "disk": "x"}])
    assert parse_vm_file(encode_text(Metadata, metadata), FILE) == metadata


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "vm is missing"),
        ({"vm": {}}, "vm.id is missing"),
        ({"vm": {"id": "../x"}}, "vm.id: must be up to 64 letters"),
        ({"vm": {"id": "a", "memory": "5 apples"}}, "apples is no unit of memory"),
        ({"vm": {"id": "a", "memory": "much"}}, "vm.memory"),
        ({"vm": {"id": "a", "vcpus": 0}}, "vm.vcpus"),
        (
            {"vm": {"id": "a"}, "vbds": [{"device": "xvda"}, {"device": "nvme0"}]},
            "vbds[1].device: must look like",
        ),
        ({"vm": {"id": "a"}, "vbds": [{"device": "xvda", "mode": "w"}]}, "vbds[0].mode"),
        ({"vm": {"id": "a"}, "disks": []}, "disks is not known here"),
        ({"vm": {"id": "a", "ty": 1}}, "no metadata as VM.export_metadata writes it"),
    ],
)
def test_what_makes_no_sense_is_named_with_its_place(parts: dict[str, Any], words: str) -> None:
    assert words in complaint(**parts)


def test_what_is_no_json_is_named_with_line_and_column() -> None:
    with pytest.raises(VmFileError, match=r"web1.json:2:1: no JSON"):
        parse_vm_file("{\n", FILE)


def test_a_file_of_another_shape_is_refused() -> None:
    with pytest.raises(VmFileError, match="the file"):
        parse_vm_file("[]", FILE)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VmFileError, match=r"nothing\.json"):
        read_vm_file(tmp_path / "nothing.json")


def test_the_documented_file_is_valid(tmp_path: Path) -> None:
    text = (vmfile.__doc__ or "").split("\n\n")[1]
    (tmp_path / "vm.json").write_text(text)
    metadata = read_vm_file(tmp_path / "vm.json")
    assert [len(devices) for devices in (metadata.vbds, metadata.vifs, metadata.pcis)] == [2, 1, 1]


@pytest.mark.parametrize(
    ("disk", "words"),
    [({}, "neither disk nor vdi"), ({"disk": "/a", "vdi": "sr/a"}, "both disk and vdi")],
)
def test_a_disk_has_one_source(disk: dict[str, str], words: str) -> None:
    told = complaint(vm={"id": "a"}, vbds=[{"device": "xvda", **disk}])
    assert told.startswith(f"{FILE}: vbds[0]: has {words}")
    assert "'device'" not in told


def test_a_device_stands_once() -> None:
    disks = [{"device": "hda", "disk": "/a"}, {"device": "hda", "disk": "/b"}]
    told = complaint(vm={"id": "a"}, vbds=disks)
    assert told == f"{FILE}: vbds: has hda twice: each needs a device name of its own"
