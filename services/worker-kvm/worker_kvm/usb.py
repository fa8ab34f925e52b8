"""Usb: where a USB device is plugged in at its host, as a VUSB says it."""

import re

from schema.fault import internal_error
from schema.objects.vusb import Vusb

_BUS, _PORT = re.compile(r"[1-9][0-9]{0,2}"), re.compile(r"[1-9][0-9]{0,2}(\.[1-9][0-9]{0,2}){0,5}")
"""A bus's number, and the way from it to a device, hub by hub."""


def name_of(vusb: Vusb) -> str:
    """A device's name in sysfs, by where it is plugged in, as `1-2`, or `1-2.3` behind a hub.

    Errors: `Internal_error`, there can be no such place.
    """
    if not (_BUS.fullmatch(vusb.hostbus) and _PORT.fullmatch(vusb.hostport)):
        raise internal_error(
            f"VUSB {vusb.id.device} is at bus {vusb.hostbus!r}, port {vusb.hostport!r}, which is no place "
            "for a USB device: give numbers as `1` and `2`, or `2.3` behind a hub; see `lsusb -t`"
        )
    return f"{vusb.hostbus}-{vusb.hostport}"
