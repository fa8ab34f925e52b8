"""VBDs: virtual block devices."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schema.objects.disk import DeviceNumber, Disk
from schema.wire.types import Arm, Assoc, DeviceId, Struct, Variant, wire_default


class VbdMode(StrEnum):
    """Whether a guest may write."""

    READ_ONLY = "ReadOnly"
    READ_WRITE = "ReadWrite"


class VbdType(StrEnum):
    """What a guest sees."""

    CDROM = "CDROM"
    DISK = "Disk"
    FLOPPY = "Floppy"


class HighestQos(Arm):
    """Before all others."""

    kind: Literal["Highest"] = "Highest"


class HighQos(Arm):
    """Before most."""

    kind: Literal["High"] = "High"


class NormalQos(Arm):
    """As usual."""

    kind: Literal["Normal"] = "Normal"


class LowQos(Arm):
    """After most."""

    kind: Literal["Low"] = "Low"


class LowestQos(Arm):
    """After all others."""

    kind: Literal["Lowest"] = "Lowest"


class OtherQos(Arm):
    """A level by its number."""

    kind: Literal["Other"] = "Other"
    level: int


QosClass = Annotated[
    HighestQos | HighQos | NormalQos | LowQos | LowestQos | OtherQos,
    Field(discriminator="kind"),
    Variant("qos_class"),
]
"""`Vbd.qos_class`."""


class RealTimeQos(Arm):
    """Served first, by level."""

    kind: Literal["RealTime"] = "RealTime"
    level: QosClass


class IdleQos(Arm):
    """Served when nobody else wants to be."""

    kind: Literal["Idle"] = "Idle"


class BestEffortQos(Arm):
    """Served in turn, by level."""

    kind: Literal["BestEffort"] = "BestEffort"
    level: QosClass


QosScheduler = Annotated[
    RealTimeQos | IdleQos | BestEffortQos,
    Field(discriminator="kind"),
    Variant("qos_scheduler"),
]
"""`Vbd.qos_scheduler`."""


class Ionice(Arm):
    """A class and level of Linux's ionice(1)."""

    kind: Literal["Ionice"] = "Ionice"
    scheduler: QosScheduler


Qos = Annotated[
    Ionice,
    Variant("qos"),
]
"""`Vbd.qos`."""


class Vbd(Struct, wire="t"):
    """A disk or drive of a VM: the original's `Vbd.t`.

    `position` is where the guest finds it; None: the first place that is free. `backend` is its content, None
    for an empty drive. `unpluggable`: it can be taken away while the VM runs. The extra keys go to xenstore,
    for its backend; the private ones no guest reads. `persistent`: what is written is there at the next
    start, too. `can_attach_early`: a migration's destination may attach it while the source still has it.
    """

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
    """What a disk is like now: the original's `Vbd.state`.

    `active`: its VM shall have it, also at the next start; `plugged`: it has it. `backend_present` is what is
    in it, `qos_target` how it is served.
    """

    active: bool
    plugged: bool
    qos_target: Qos | None = None
    backend_present: Disk | None = None
