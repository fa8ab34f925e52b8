"""Device numbers: what a VBD's position is called, `0`, `hda`, `xvda1`, `d0p1`, and on which bus it is.

Facts from xapi-idl, xen/device_number.ml. A guest under a device model has its first four disks on IDE.
"""

import re
from collections.abc import Collection

from schema.objects.disk import BusType, DeviceNumber

DISKS_MAX = 255
"""How many positions `autodetect` may choose from."""

_NUMBER = re.compile(r"[0-9]+")
_LETTERS = re.compile(r"(xvd|sd|fd|hd)([a-z]+)([0-9]*)")
_DIGITS = re.compile(r"d([0-9]+)(?:p([0-9]+))?")
_BUSES = {"xvd": BusType.XEN, "hd": BusType.IDE, "sd": BusType.SCSI, "fd": BusType.FLOPPY}
_LIMITS = {
    BusType.XEN: ((1 << 20) - 1, 15),
    BusType.SCSI: (15, 15),
    BusType.FLOPPY: (2, 0),
    BusType.IDE: (19, 63),
}
"""The highest disk and partition of each bus."""

_DIGITS_MAX = 9
"""A longer number is no disk."""


def device_number(name: str, *, hvm: bool) -> DeviceNumber | None:
    """The position that a name stands for; None where it stands for none."""
    if _NUMBER.fullmatch(name) and len(name) <= _DIGITS_MAX:
        disk = int(name)
        bus = BusType.IDE if hvm and disk < 4 else BusType.XEN
        return _within((bus, disk, 0))
    return of_linux_device(name)


def of_linux_device(name: str) -> DeviceNumber | None:
    """As `device_number`, for names with letters only."""
    if (letters := _LETTERS.fullmatch(name)) and len(letters[2]) + len(letters[3]) <= _DIGITS_MAX:
        return _BUSES[letters[1]], _of_letters(letters[2]), int(letters[3] or 0)
    if (digits := _DIGITS.fullmatch(name)) and len(name) <= 2 * _DIGITS_MAX:
        return BusType.XEN, int(digits[1]), int(digits[2] or 0)
    return None


def _within(number: DeviceNumber) -> DeviceNumber | None:
    bus, disk, partition = number
    disk_max, partition_max = _LIMITS[bus]
    return number if disk <= disk_max and partition <= partition_max else None


def linux_device(number: DeviceNumber) -> str:
    """What a position is called: the VBD's id. IDE disks have the names of Xen's, as xapi has them."""
    bus, disk, partition = number
    prefix = {BusType.SCSI: "sd", BusType.FLOPPY: "fd"}.get(bus, "xvd")
    return f"{prefix}{_letters(disk)}{partition or ''}"


def first_free(taken: Collection[DeviceNumber], *, hvm: bool) -> str | None:
    """The position that `autodetect` stands for: the lowest disk whose number no other VBD has."""
    disks = {disk for bus, disk, _ in taken if bus in {BusType.IDE, BusType.XEN}}
    free = (str(disk) for disk in range(DISKS_MAX) if disk not in disks and device_number(str(disk), hvm=hvm))
    return next(free, None)


def _letters(number: int) -> str:
    letters = ""
    while number >= 0:
        number, letter = number // 26 - 1, number % 26
        letters = chr(ord("a") + letter) + letters
    return letters


def _of_letters(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("a") + 1
    return number - 1
