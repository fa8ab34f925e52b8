"""Positions of VBDs and their names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schema.objects.disk import BusType
from xenops.toolstack.convert.device_number import (
    DISKS_MAX,
    device_number,
    first_free,
    linux_device,
    of_linux_device,
)

XEN, IDE, SCSI, FLOPPY = BusType.XEN, BusType.IDE, BusType.SCSI, BusType.FLOPPY


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("xvda", (XEN, 0, 0)),
        ("xvda1", (XEN, 0, 1)),
        ("xvdaa", (XEN, 26, 0)),
        ("hda", (IDE, 0, 0)),
        ("hdc2", (IDE, 2, 2)),
        ("hdp", (IDE, 15, 0)),
        ("sdb3", (SCSI, 1, 3)),
        ("fdb", (FLOPPY, 1, 0)),
        ("d5", (XEN, 5, 0)),
        ("d536p37", (XEN, 536, 37)),
    ],
)
def test_a_name_is_a_position(name: str, number: tuple[BusType, int, int]) -> None:
    assert device_number(name, hvm=True) == number


@pytest.mark.parametrize(
    ("name", "hvm", "number"),
    [
        ("0", True, (IDE, 0, 0)),
        ("3", True, (IDE, 3, 0)),
        ("4", True, (XEN, 4, 0)),
        ("0", False, (XEN, 0, 0)),
    ],
)
def test_the_first_four_disks_of_a_device_model_are_on_ide(
    name: str, *, hvm: bool, number: tuple[BusType, int, int]
) -> None:
    assert device_number(name, hvm=hvm) == number


@pytest.mark.parametrize("name", ["", "autodetect", "d0p0q", "xvd", "1048576", "9" * 5000, "xvd" + "a" * 99])
def test_what_is_no_position_is_none(name: str) -> None:
    assert device_number(name, hvm=True) is None


def test_what_is_no_position_in_digits_is_none() -> None:
    assert of_linux_device("d" + "1" * 99) is None


@settings(deadline=None)
@given(st.integers(0, (1 << 20) - 1), st.booleans())
def test_the_name_of_a_position_leads_back_to_its_disk(disk: int, hvm: bool) -> None:  # noqa: FBT001
    number = device_number(str(disk), hvm=hvm)
    assert number is not None
    again = of_linux_device(linux_device(number))
    assert again == (XEN, disk, 0)


@pytest.mark.parametrize(("number", "name"), [((SCSI, 1, 3), "sdb3"), ((FLOPPY, 0, 0), "fda")])
def test_other_buses_keep_their_names(number: tuple[BusType, int, int], name: str) -> None:
    assert linux_device(number) == name


def test_autodetect_is_the_lowest_number_that_no_other_disk_has() -> None:
    assert first_free([], hvm=True) == "0"
    assert first_free([(IDE, 0, 0), (XEN, 1, 0), (FLOPPY, 2, 0)], hvm=True) == "2"
    assert first_free([(XEN, disk, 0) for disk in range(DISKS_MAX)], hvm=False) is None
