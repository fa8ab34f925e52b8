"""Addresses that are none, and groups that the IOMMU cannot keep apart."""

from collections.abc import Callable

import pytest
from engine.conformance.subject import refusal
from schema.objects.errors import InternalError
from schema.objects.pci import PciAddress
from worker_kvm.pci import Group, Member, name_of, to_take

USED = Member("0000:01:00.0", "nouveau")
AUDIO = Member("0000:01:00.1", "snd_hda_intel")
PORT = Member("0000:00:01.0", "pcieport")
IDLE = Member("0000:01:00.2", None)
GIVEN = Member("0000:01:00.3", "vfio-pci")


def words(act: Callable[[], object]) -> str:
    error = refusal(act)
    assert isinstance(error, InternalError)
    return error.message


def test_a_device_has_the_name_that_lspci_shows() -> None:
    assert name_of(PciAddress(domain=0, bus=0xA1, dev=0x1F, fn=7)) == "0000:a1:1f.7"
    assert name_of(PciAddress(domain=0xFFFF, bus=0, dev=0, fn=0)) == "ffff:00:00.0"


@pytest.mark.parametrize(
    "address",
    [
        PciAddress(domain=0x10000, bus=0, dev=0, fn=0),
        PciAddress(domain=0, bus=256, dev=0, fn=0),
        PciAddress(domain=0, bus=0, dev=32, fn=0),
        PciAddress(domain=0, bus=0, dev=0, fn=8),
        PciAddress(domain=-1, bus=0, dev=0, fn=0),
    ],
)
def test_no_other_numbers_become_a_name(address: PciAddress) -> None:
    assert "which must be between 0 and" in words(lambda: name_of(address))


def test_a_device_alone_in_its_group_is_taken() -> None:
    assert to_take(Group(1, (USED,)), USED.name, ()) == (USED,)


def test_what_nobody_uses_or_only_passes_on_is_left_alone() -> None:
    assert to_take(Group(1, (USED, PORT, IDLE, GIVEN)), USED.name, ()) == (USED,)
    assert to_take(Group(1, (USED, IDLE)), IDLE.name, (USED.name,)) == (USED, IDLE)


def test_what_the_host_uses_is_named() -> None:
    said = words(lambda: to_take(Group(7, (USED, AUDIO, PORT)), USED.name, ()))
    assert "IOMMU group 7 has also 0000:01:00.1 (driver snd_hda_intel), which this host uses" in said


def test_a_vm_that_has_the_whole_group_may_have_it() -> None:
    assert to_take(Group(7, (USED, AUDIO, PORT)), USED.name, (AUDIO.name,)) == (USED, AUDIO)
