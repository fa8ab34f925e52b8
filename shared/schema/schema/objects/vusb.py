"""VUSBs: USB devices of the host, given to a VM."""

from schema.wire.types import DeviceId, Struct


class Vusb(Struct, wire="t"):
    """A USB device of the host that a VM is given: the original's `Vusb.t`.

    `hostbus` and `hostport` say where it is plugged; `speed` is in Mbit/s.
    """

    id: DeviceId
    hostbus: str
    hostport: str
    version: str
    path: str
    speed: float


class VusbState(Struct, wire="state"):
    """Whether the VM has it."""

    plugged: bool
