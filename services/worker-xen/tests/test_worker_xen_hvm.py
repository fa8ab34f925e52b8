"""An HVM guest's hardware: what is refused, and the words by which its device model is started."""

import itertools
import json
from pathlib import Path

import pytest
from engine.conformance.samples import sample_vbd, sample_vm
from engine.conformance.subject import refusal
from schema.ids import DeviceId
from schema.objects.disk import BusType
from schema.objects.errors import InternalError, Unimplemented
from schema.objects.vbd import VbdType
from schema.objects.vif import Vif
from schema.objects.vm import (
    DirectBoot,
    Hvm,
    HvmInfo,
    Pv,
    PvDirectBoot,
    PvInfo,
    StandardVga,
    Uefi,
    UefiVariables,
    Vm,
    Vtpm,
)
from worker_xen.classic.birth import birth_of
from worker_xen.classic.hvm.assembling import drive_of, hardware_of, is_drive
from worker_xen.classic.hvm.command import (
    Card,
    Drive,
    Given,
    Hardware,
    command_line,
    content,
    has_serial,
    hvm_info,
    marker,
    video_mib,
)
from worker_xen.classic.machine import Disk, Machine, Nic, attached, created
from worker_xen.classic.nature import nature_of
from worker_xen.libxc.values import Container, TscMode
from worker_xen.xenstore.layout import birth_nodes, serial_nodes

HERE = Path("/run/7")
GIVEN = Given(HERE, monitor=5, taps={0: 6, 1: 8}, state=9, user=(300007, 300007))


def vm_with(**fields: object) -> Vm:
    info = HvmInfo(**{"boot_order": "c", **fields})
    return sample_vm(ty=Hvm(info=info), vcpus=1, vcpu_max=2)


def words_after(option: str, words: list[str]) -> list[str]:
    return [value for word, value in itertools.pairwise(words) if word == option]


def test_a_device_model_sees_one_domain_an_empty_directory_and_what_it_is_given() -> None:
    drives = (
        Drive(0, "/d,isk"),
        Drive(1, "/dev/sda", is_device=True, is_read_only=True),
        Drive(2, None, is_cdrom=True),
        Drive(3, "/m,edium", is_cdrom=True),
    )
    hardware = Hardware(
        7, vm_with(serial="pty", keymap="de"), 1, 128, drives, (Card(0, "00:16:3e:00:00:01"), Card(1, ""))
    )
    words = command_line(hardware, GIVEN)
    assert "-xen-domid-restrict" in words
    assert words_after("-xen-domid", words) == ["7"]
    assert words_after("-chroot", words) == ["/run/7/root"]
    assert words_after("-runas", words) == ["300007:300007"]
    assert words_after("-incoming", words) == ["fd:9"]
    assert words_after("-pidfile", words) == [marker(HERE)]
    assert words_after("-m", words) == ["124"]
    assert words_after("-smp", words) == ["cpus=1,maxcpus=2"]
    assert words_after("-boot", words) == ["order=c"]
    assert words_after("-serial", words) == ["chardev:serial"]
    assert words_after("-k", words) == ["de"]
    assert words_after("-netdev", words) == ["tap,id=net0,fd=6", "tap,id=net1,fd=8"]
    disks = ["file.driver=file,file.filename=/d,,isk", "file.driver=host_device,file.filename=/dev/sda"]
    assert words_after("-drive", words) == [
        f"if=none,id=content0,format=raw,{disks[0]},read-only=off,auto-read-only=off",
        f"if=none,id=content1,format=raw,{disks[1]},read-only=on,auto-read-only=off",
    ]
    [medium] = [json.loads(word) for word in words_after("-blockdev", words)]
    assert medium["file"]["filename"] == "/m,edium"
    devices = [json.loads(word) for word in words_after("-device", words) if word.startswith("{")]
    places = [(device["driver"], device["bus"], device["unit"]) for device in devices[:4]]
    assert places[:2] == [("ide-hd", "ide.0", 0), ("ide-hd", "ide.0", 1)]
    assert places[2:] == [("ide-cd", "ide.1", 0), ("ide-cd", "ide.1", 1)]
    assert [device.get("drive") for device in devices[:4]] == ["content0", "content1", None, "content3"]
    assert [device["romfile"] for device in devices[4:]] == ["", ""]
    assert "mac" not in devices[5]


def test_one_that_may_show_devices_of_the_host_keeps_its_rights() -> None:
    words = command_line(Hardware(7, vm_with(pci_passthrough=True), 1, 128, gets_pcis=True), GIVEN)
    for option in ("-xen-domid-restrict", "-chroot", "-runas"):
        assert option not in words
    assert words_after("-xen-domid", words) == ["7"]


def test_a_guest_that_boots_from_the_network_has_one_card_with_a_rom() -> None:
    vm = vm_with(boot_order="n", video=StandardVga(), video_mib=16, acpi=False)
    words = command_line(
        Hardware(7, vm, 1, 128, (), (Card(0, ""), Card(1, ""))), Given(HERE, 5, {0: 6, 1: 8})
    )
    devices = [json.loads(word) for word in words_after("-device", words) if word.startswith("{")]
    assert ["romfile" in device for device in devices] == [False, True]
    assert "VGA,vgamem_mb=16" in words
    assert words_after("-machine", words) == ["xenfv,suppress-vmdesc=on,acpi=off"]
    for option in ("-runas", "-incoming", "-serial", "-k"):
        assert option not in words


def test_a_medium_can_only_be_read() -> None:
    assert content(Drive(2, None, is_cdrom=True), "/m")["read-only"] is True


@pytest.mark.parametrize(
    "fields",
    [
        {"firmware": Uefi(variables=UefiVariables())},
        {"tpm": Vtpm(uuid="01234567-89ab-cdef-0123-456789abcdef")},
        {"qemu_stubdom": True},
        {"hap": False},
    ],
)
def test_what_an_hvm_guest_cannot_have_is_named(fields: dict[str, object]) -> None:
    error = refusal(lambda: hvm_info(vm_with(**fields)))
    assert isinstance(error, Unimplemented)
    assert "of an HVM guest with" in error.what


def test_words_that_make_no_sense_are_named() -> None:
    model = vm_with().model_copy(update={"platformdata": (("nic_type", "ne2000"),)})
    for vm, what in (
        (vm_with(boot_order="x"), "'x'"),
        (vm_with(timeoffset="soon"), "'soon'"),
        (vm_with(timeoffset="--5"), "'--5'"),
        (vm_with(timeoffset="9" * 5_000), "of nine digits at most"),
        (model, "'ne2000'"),
    ):
        error = refusal(lambda vm=vm: hvm_info(vm))
        assert isinstance(error, InternalError)
        assert what in error.message
    with pytest.raises(TypeError, match="no HVM guest"):
        hvm_info(sample_vm(ty=Pv(info=PvInfo(boot=DirectBoot(boot=PvDirectBoot())))))


def test_an_hvm_guest_has_its_first_disks_and_cards_and_knows_its_clock() -> None:
    vm = vm_with(timeoffset="-60", serial="none")
    machine = created(Machine(id=vm.id), vm, 1.0).with_domain(domid=7)
    machine = attached(machine, sample_vbd("hda"), None)
    cd = sample_vbd("hdc", position=(BusType.IDE, 2, 0), ty=VbdType.CDROM)
    machine = attached(machine, cd, None)
    far = sample_vbd("xvde", position=(BusType.XEN, 4, 0))
    machine = attached(machine, far, None)
    domain = machine.living()
    disks = tuple(disk.model_copy(update={"activated": True}) for disk in domain.disks)
    nics = (
        Nic(vif=Vif(id=DeviceId("v1", "0"), position=0)),
        Nic(vif=Vif(id=DeviceId("v1", "8"), position=8)),
    )
    domain = domain.model_copy(update={"disks": disks, "nics": nics})
    hardware = hardware_of(domain, 7, {})
    assert disks[0].vbd.position == (BusType.IDE, 0, 0)
    assert [drive.number for drive in hardware.drives] == [0, 2]
    assert [card.number for card in hardware.cards] == [0]
    assert is_drive(domain, disks[1])
    assert not is_drive(domain, disks[0])
    assert isinstance(refusal(lambda: drive_of(Disk(vbd=far, number=1), None)), InternalError)
    nature = nature_of(vm)
    assert (nature.container, nature.tsc_mode) == (Container.HVM, TscMode.DEFAULT)
    assert (nature.video_mib, nature.clock_offset_s) == (video_mib(hvm_info(vm)), -60)
    assert nature.viridian == 0
    windows = vm.model_copy(update={"platformdata": (("viridian", "true"), ("viridian_crash_ctl", "true"))})
    assert nature_of(windows).viridian == 0b100_0001
    assert not has_serial(hvm_info(vm))
    told = {node.path: node.value for node in birth_nodes(birth_of(7, domain))}
    assert told["/local/domain/7/hvmloader/bios"] == "seabios"
    assert told["/local/domain/7/memory/videoram"] == "4096"
    assert serial_nodes(7, "/dev/pts/1")[0].value == "/dev/pts/1"
