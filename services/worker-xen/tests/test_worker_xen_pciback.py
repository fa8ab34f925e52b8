"""The control domain's driver of PCI devices, as a tree of files."""

from pathlib import Path

import pytest
from engine.conformance.subject import refusal
from schema.objects.errors import InternalError
from schema.objects.pci import PciAddress
from worker_xen.classic.pciback import name_of, number_of, taken
from worker_xen.libxc.values import HostDevice

ADDRESS = PciAddress(domain=0, bus=2, dev=31, fn=7)
NAME = "0000:02:1f.7"
RESOURCE = """\
0x00000000febc0000 0x00000000febdffff 0x0000000000040200
0x000000000000c000 0x000000000000c03f 0x0000000000040101
0x0000000000000000 0x0000000000000000 0x0000000000000000
"""


@pytest.fixture(name="bus")
def make_bus(tmp_path: Path) -> Path:
    device = tmp_path / "devices" / NAME
    device.mkdir(parents=True)
    (device / "resource").write_text(RESOURCE)
    (device / "irq").write_text("11\n")
    (tmp_path / "drivers" / "pciback").mkdir(parents=True)
    (tmp_path / "drivers" / "e1000").mkdir()
    return tmp_path


def test_an_address_is_known_by_name_and_by_number() -> None:
    assert name_of(ADDRESS) == NAME
    assert number_of(ADDRESS) == 0x2FF


def test_a_device_is_taken_from_its_driver_with_all_that_it_needs(bus: Path) -> None:
    (bus / "devices" / NAME / "driver").symlink_to(bus / "drivers" / "e1000")
    assert taken(ADDRESS, bus) == HostDevice(
        number=0x2FF, ports=((0xC000, 0x40),), frames=((0xFEBC0, 0x20),), interrupt=11
    )
    assert (bus / "drivers" / "e1000" / "unbind").read_text() == NAME
    for name in ("new_slot", "bind"):
        assert (bus / "drivers" / "pciback" / name).read_text() == NAME


def test_one_that_pciback_has_is_left_alone(bus: Path) -> None:
    (bus / "devices" / NAME / "driver").symlink_to(bus / "drivers" / "pciback")
    assert taken(ADDRESS, bus).interrupt == 11
    assert not list((bus / "drivers" / "pciback").iterdir())


def test_what_is_missing_is_named(bus: Path) -> None:
    def words() -> str:
        error = refusal(lambda: taken(ADDRESS, bus))
        assert isinstance(error, InternalError)
        return error.message

    (bus / "devices" / NAME / "irq").unlink()
    assert "kernel's log" in words()
    (bus / "drivers" / "pciback" / "bind").unlink()
    (bus / "drivers" / "pciback" / "new_slot").unlink()
    (bus / "drivers" / "pciback").rmdir()
    assert "modprobe xen-pciback" in words()
    assert "lspci" in str(refusal(lambda: taken(ADDRESS, bus / "nowhere")))
