"""Which device names may become file names."""

import re

_DEVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


def is_device_name(name: str) -> bool:
    """Whether `name` may name a device: as a VM, and with colons, too.

    xapi's are `xvda`, `0`, `0000:04:00.0` and `vusb1-2`.
    """
    return _DEVICE_NAME.fullmatch(name) is not None and ".." not in name
