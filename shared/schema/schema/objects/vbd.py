"""VBDs: virtual block devices."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schema.objects.disk import DeviceNumber, Disk
from schema.wire.types import Arm, Assoc, DeviceId, Struct, Variant, wire_default


class VbdMode(StrEnum):
    """`Vbd.mode`."""

    READ_ONLY = "ReadOnly"
    READ_WRITE = "ReadWrite"


class VbdType(StrEnum):
    """`Vbd.ty`."""

    CDROM = "CDROM"
    DISK = "Disk"
    FLOPPY = "Floppy"


class HighestQos(Arm):
    """`Vbd.qos_class`, arm `Highest`."""

    kind: Literal["Highest"] = "Highest"


class HighQos(Arm):
    """`Vbd.qos_class`, arm `High`."""

    kind: Literal["High"] = "High"


class NormalQos(Arm):
    """`Vbd.qos_class`, arm `Normal`."""

    kind: Literal["Normal"] = "Normal"


class LowQos(Arm):
    """`Vbd.qos_class`, arm `Low`."""

    kind: Literal["Low"] = "Low"


class LowestQos(Arm):
    """`Vbd.qos_class`, arm `Lowest`."""

    kind: Literal["Lowest"] = "Lowest"


class OtherQos(Arm):
    """`Vbd.qos_class`, arm `Other`."""

    kind: Literal["Other"] = "Other"
    level: int


QosClass = Annotated[
    HighestQos | HighQos | NormalQos | LowQos | LowestQos | OtherQos,
    Field(discriminator="kind"),
    Variant("qos_class"),
]
"""`Vbd.qos_class`."""


class RealTimeQos(Arm):
    """`Vbd.qos_scheduler`, arm `RealTime`."""

    kind: Literal["RealTime"] = "RealTime"
    level: QosClass


class IdleQos(Arm):
    """`Vbd.qos_scheduler`, arm `Idle`."""

    kind: Literal["Idle"] = "Idle"


class BestEffortQos(Arm):
    """`Vbd.qos_scheduler`, arm `BestEffort`."""

    kind: Literal["BestEffort"] = "BestEffort"
    level: QosClass


QosScheduler = Annotated[
    RealTimeQos | IdleQos | BestEffortQos,
    Field(discriminator="kind"),
    Variant("qos_scheduler"),
]
"""`Vbd.qos_scheduler`."""


class Ionice(Arm):
    """`Vbd.qos`, arm `Ionice`."""

    kind: Literal["Ionice"] = "Ionice"
    scheduler: QosScheduler


Qos = Annotated[
    Ionice,
    Variant("qos"),
]
"""`Vbd.qos`."""


class Vbd(Struct, wire="t"):
    """`Vbd.t`."""

    id: DeviceId = wire_default(DeviceId("", ""))
    position: DeviceNumber | None = wire_default(None)
    mode: VbdMode = wire_default(VbdMode.READ_WRITE)
    backend: Disk | None = wire_default(None)
    ty: VbdType = wire_default(VbdType.DISK)
    unpluggable: bool = wire_default(True)
    extra_backend_keys: Assoc[str] = wire_default(())
    extra_private_keys: Assoc[str] = wire_default(())
    qos: Qos | None = wire_default(None)
    persistent: bool = wire_default(True)
    can_attach_early: bool = wire_default(False)


class VbdState(Struct, wire="state"):
    """`Vbd.state`."""

    active: bool
    plugged: bool
    qos_target: Qos | None = None
    backend_present: Disk | None = None
