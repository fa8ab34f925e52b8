"""VUSBs: USB devices of the host, given to a VM."""

from schema.wire.types import DeviceId, Struct


class Vusb(Struct, wire="t"):
    """`Vusb.t`."""

    id: DeviceId
    hostbus: str
    hostport: str
    version: str
    path: str
    speed: float


class VusbState(Struct, wire="state"):
    """`Vusb.state`."""

    plugged: bool
