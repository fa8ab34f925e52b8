"""The host's PCI devices, by the files that Linux shows them as."""

import os
from pathlib import Path
from typing import Any

import pytest
from devices_in_hand import AUDIO, GPU, NIC, VFIO, Kernel
from engine.conformance.subject import refusal
from schema.objects.errors import InternalError
from worker_kvm.pci import Member
from worker_kvm.vfio import Vfio


@pytest.fixture(name="kernel")
def make_kernel(tmp_path: Path) -> Kernel:
    kernel = Kernel(tmp_path)
    kernel.add_pci(NIC, "e1000e", 8)
    kernel.add_pci(GPU, None, 7)
    kernel.add_pci(AUDIO, "snd_hda_intel", 7)
    return kernel


@pytest.fixture(name="vfio")
def make_vfio(kernel: Kernel) -> Vfio:
    return Vfio(kernel.sysfs, kernel.nodes, kernel.write, 0.0)


def words(act: Any) -> str:
    error = refusal(act)
    assert isinstance(error, InternalError)
    return error.message


def test_a_group_is_all_that_the_iommu_cannot_keep_apart(vfio: Vfio) -> None:
    group = vfio.group(GPU)
    assert (group.number, group.members) == (7, (Member(GPU, None), Member(AUDIO, "snd_hda_intel")))


def test_a_device_that_is_not_there_is_told(vfio: Vfio) -> None:
    assert "no PCI device 0000:09:00.0" in words(lambda: vfio.group("0000:09:00.0"))


def test_without_an_iommu_it_is_said_what_to_switch_on(kernel: Kernel, vfio: Vfio) -> None:
    kernel.add_pci("0000:05:00.0", None, None)
    assert "VT-d or AMD-Vi" in words(lambda: vfio.group("0000:05:00.0"))


@pytest.mark.parametrize(("name", "driver"), [(NIC, "e1000e"), (GPU, None)])
def test_a_device_is_taken_and_given_back_as_it_was(
    kernel: Kernel, vfio: Vfio, name: str, driver: str | None
) -> None:
    vfio.take(name)
    assert kernel.driver(name) == VFIO
    said = len(kernel.said)
    vfio.take(name)
    assert len(kernel.said) == said
    vfio.give_back({name: driver})
    assert kernel.driver(name) == driver
    assert (kernel.sysfs / "bus/pci/devices" / name / "driver_override").read_text() == ""


def test_what_was_vfios_before_stays_so(kernel: Kernel, vfio: Vfio) -> None:
    vfio.take(NIC)
    vfio.give_back({NIC: VFIO})
    assert kernel.driver(NIC) == VFIO


def test_a_device_that_was_pulled_out_is_owed_nothing(kernel: Kernel, vfio: Vfio) -> None:
    kernel.unplug(NIC)
    vfio.give_back({NIC: "e1000e"})


def test_a_host_without_vfio_is_told_what_to_load(kernel: Kernel, vfio: Vfio) -> None:
    (kernel.sysfs / "bus/pci/drivers" / VFIO).rmdir()
    assert "modprobe vfio-pci" in words(lambda: vfio.take(NIC))


def test_what_may_not_be_written_is_told_and_nothing_has_changed(kernel: Kernel, vfio: Vfio) -> None:
    kernel.refuses = "unbind"
    assert "must be root" in words(lambda: vfio.take(NIC))
    assert kernel.driver(NIC) == "e1000e"


def test_what_vfio_does_not_want_goes_back_to_its_driver(kernel: Kernel, vfio: Vfio) -> None:
    def write(path: Path, text: str) -> None:
        kernel.write(path, "nothing" if text == VFIO else text)

    picky = Vfio(kernel.sysfs, kernel.nodes, write)
    assert "vfio-pci does not want it" in words(lambda: picky.take(NIC))
    assert vfio.driver(NIC) == "e1000e"


def test_a_group_that_is_busy_for_a_moment_is_awaited(kernel: Kernel) -> None:
    busy = [OSError(22, "Invalid argument")]

    def write(path: Path, text: str) -> None:
        if path.name == "drivers_probe" and text == AUDIO and kernel.driver(AUDIO) is None and busy:
            assert kernel.driver(GPU) != VFIO
            raise busy.pop()
        kernel.write(path, text)

    vfio = Vfio(kernel.sysfs, kernel.nodes, kernel.write)
    for name in (AUDIO, GPU):
        vfio.take(name)
    Vfio(kernel.sysfs, kernel.nodes, write).give_back({AUDIO: "snd_hda_intel", GPU: None})
    assert (kernel.driver(AUDIO), kernel.driver(GPU), busy) == ("snd_hda_intel", None, [])


def test_a_driver_that_fails_is_told(kernel: Kernel, vfio: Vfio) -> None:
    vfio.take(NIC)
    kernel.refuses = "drivers_probe"
    assert "cannot be given back to this host's driver e1000e" in words(
        lambda: vfio.give_back({NIC: "e1000e"})
    )


def test_a_groups_file_is_handed_over_while_it_is_there(vfio: Vfio) -> None:
    assert "/8: No such file" in words(lambda: vfio.owner(8))
    vfio.take(NIC)
    assert vfio.owner(8) == (os.getuid(), os.getgid())
    vfio.refuse_if_open(8)
    vfio.hand_over(8, vfio.owner(8))
    vfio.give_back({NIC: "e1000e"})
    vfio.hand_over(8, (0, 0))
    assert "No such file" in words(lambda: vfio.refuse_if_open(8))


def test_a_file_that_cannot_be_handed_over_is_told(kernel: Kernel) -> None:
    (kernel.root / "file").touch()
    vfio = Vfio(kernel.sysfs, kernel.root / "file", kernel.write)
    assert "Not a directory" in words(lambda: vfio.hand_over(8, (0, 0)))
