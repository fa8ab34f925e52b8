"""Model: what one VM must be like after all that was done to it, told by what was asked and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from schema.objects.vm import PowerState


class Kind(Enum):
    """What a device is, by the class of the calls about it."""

    DISK = "vbd"
    INTERFACE = "vif"


@dataclass(frozen=True, slots=True)
class Device:
    """One device of the VM by its name there; what `stays` is never taken away, for the guest lives by it."""

    kind: Kind
    name: str
    stays: bool = False


SYSTEM = Device(Kind.DISK, "xvda", stays=True)
DRIVE = Device(Kind.DISK, "xvdd", stays=True)
"""A CD drive, into which media come and from which they go."""

DESCRIBED_MEDIUM = "cd1"
"""What is in the drive as the VM is described."""

DEVICES = (
    SYSTEM,
    Device(Kind.DISK, "xvdb"),
    Device(Kind.DISK, "xvdc"),
    DRIVE,
    Device(Kind.INTERFACE, "0", stays=True),
    Device(Kind.INTERFACE, "1"),
    Device(Kind.INTERFACE, "2"),
)
"""All that a VM may have."""

BEGINS_WITH = tuple(device for device in DEVICES if device.name not in {"xvdb", "2"})

VCPUS, VCPUS_MAX = 1, 2
"""Those that it begins with, and how many it may have."""

LIVE = frozenset({PowerState.RUNNING, PowerState.PAUSED})
"""States of a VM that has a domain, and devices in it."""


@dataclass(slots=True)
class Model:
    """One VM. `plugged`: what its domain has, if it has one; `medium`: what is in its drive.

    `vcpus` are those of its domain; a guest that got one keeps it until it ends. `saved` are the devices
    that its image is of: a real hypervisor has it resumed with all of them, and names one that is missing.
    """

    power: PowerState = PowerState.HALTED
    known: set[Device] = field(default_factory=lambda: set(BEGINS_WITH))
    plugged: set[Device] = field(default_factory=set)
    medium: str | None = DESCRIBED_MEDIUM
    vcpus: int = VCPUS
    saved: set[Device] = field(default_factory=set)

    @property
    def is_live(self) -> bool:
        """Whether it has a domain."""
        return self.power in LIVE

    def began(self) -> None:
        """A domain was made, from nothing or from an image: it has all that is known, as it is described.

        So a medium that was taken out is in it again: who wants it otherwise adds the drive anew.
        """
        self.power = PowerState.PAUSED
        self.plugged = set(self.known)
        self.medium = DESCRIBED_MEDIUM
        self.saved = set()

    def rebooted(self) -> None:
        """A domain was made anew, and runs, as before or not."""
        self.began()
        self.vcpus = VCPUS
        self.power = PowerState.RUNNING

    def moved(self) -> None:
        """It is in another domain of its host, and runs."""
        self.began()
        self.power = PowerState.RUNNING

    def ended(self, power: PowerState = PowerState.HALTED) -> None:
        """There is no domain any more."""
        self.power = power
        self.saved = self.plugged if power is PowerState.SUSPENDED else set()
        self.plugged = set()
        if power is PowerState.HALTED:
            self.vcpus = VCPUS

    def outcomes(self, after: PowerState) -> set[PowerState]:
        """In which states it may be when an operation was cancelled: intact, done, shut down, or begun anew.

        The last on the simulator, by the check that follows, when its domain was there but not complete.
        """
        return {self.power, after, PowerState.HALTED, PowerState.RUNNING}

    def may_come(self) -> list[Device]:
        """Devices that it does not know."""
        return [device for device in DEVICES if device not in self.known]

    def may_be_plugged(self) -> list[Device]:
        """Devices that it knows and has not."""
        return [device for device in DEVICES if device in self.known - self.plugged]

    def may_be_unplugged(self) -> list[Device]:
        """Devices that it has and that its guest can do without."""
        return [device for device in DEVICES if device in self.plugged and not device.stays]

    def may_go(self) -> list[Device]:
        """Devices that can be forgotten."""
        free = self.known - self.plugged - self.saved
        return [device for device in DEVICES if device in free and not device.stays]
