"""VIFs: virtual network interfaces."""

from typing import Annotated, Literal

from pydantic import Field

from schema.objects.network import LocalNetwork, Network
from schema.wire.types import Arm, Assoc, DeviceId, Int64, Struct, Variant, wire_default


class Unspecified4(Arm):
    """The guest sees to its IPv4 addresses itself."""

    kind: Literal["Unspecified4"] = "Unspecified4"


class Static4(Arm):
    """These IPv4 addresses, each with its prefix's length, and a gateway."""

    kind: Literal["Static4"] = "Static4"
    addresses: tuple[str, ...]
    gateway: str | None


class Dhcp4(Arm):
    """By DHCP."""

    kind: Literal["DHCP4"] = "DHCP4"


Ipv4Configuration = Annotated[
    Unspecified4 | Static4 | Dhcp4,
    Field(discriminator="kind"),
    Variant("ipv4_configuration"),
]
"""`Vif.ipv4_configuration`."""


class Unspecified6(Arm):
    """The guest sees to its IPv6 addresses itself."""

    kind: Literal["Unspecified6"] = "Unspecified6"


class Static6(Arm):
    """These IPv6 addresses, each with its prefix's length, and a gateway."""

    kind: Literal["Static6"] = "Static6"
    addresses: tuple[str, ...]
    gateway: str | None


class Autoconf6(Arm):
    """By router advertisements."""

    kind: Literal["Autoconf6"] = "Autoconf6"


Ipv6Configuration = Annotated[
    Unspecified6 | Static6 | Autoconf6,
    Field(discriminator="kind"),
    Variant("ipv6_configuration"),
]
"""`Vif.ipv6_configuration`."""


class LockedAddresses(Struct, wire="locked_addresses"):
    """The addresses that a guest may use as its own."""

    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...]


class Unlocked(Arm):
    """Any traffic passes."""

    kind: Literal["Unlocked"] = "Unlocked"


class Disabled(Arm):
    """No traffic passes."""

    kind: Literal["Disabled"] = "Disabled"


class Locked(Arm):
    """Only traffic from and to these addresses, and the interface's own MAC, passes."""

    kind: Literal["Locked"] = "Locked"
    addresses: LockedAddresses


LockingMode = Annotated[
    Unlocked | Disabled | Locked,
    Field(discriminator="kind"),
    Variant("locking_mode"),
]
"""`Vif.locking_mode`."""


class PvsServer(Struct, wire="server"):
    """A server of Citrix Provisioning: its addresses and range of UDP ports."""

    addresses: tuple[str, ...]
    first_port: int
    last_port: int


PvsProxy = tuple[str, tuple[PvsServer, ...], str]


class Vif(Struct, wire="t"):
    """A network interface of a VM: the original's `Vif.t`.

    `position` counts a VM's interfaces from 0. `mac` is its address, "" for one that is derived from VM and
    position, "random" for a new one. `carrier`: the cable is plugged. `mtu` is in bytes. `rate` is (KiB/s,
    timeslice in microseconds) for what the guest sends. `backend` is what it is connected to. `other_config`
    are settings of its host's end, `extra_private_keys` go to xenstore, where no guest reads them. `vlan` is
    its own, `trunks` are those that the guest sees, none for all.
    """

    id: DeviceId = wire_default(DeviceId("", ""))
    position: int = wire_default(0)
    mac: str = wire_default("fe:ff:ff:ff:ff:ff")
    carrier: bool = wire_default(True)
    mtu: int = wire_default(1500)
    rate: tuple[Int64, Int64] | None = wire_default(None)
    backend: Network = wire_default(LocalNetwork(bridge="xenbr0"))
    other_config: Assoc[str] = wire_default(())
    locking_mode: LockingMode = wire_default(Unlocked())
    extra_private_keys: Assoc[str] = wire_default(())
    ipv4_configuration: Ipv4Configuration = wire_default(Unspecified4())
    ipv6_configuration: Ipv6Configuration = wire_default(Unspecified6())
    pvs_proxy: PvsProxy | None = wire_default(None)
    vlan: Int64 | None = wire_default(None)
    trunks: tuple[Int64, ...] = wire_default(())


class VifState(Struct, wire="state"):
    """What an interface is like now: the original's `Vif.state`.

    `active`: its VM shall have it, also at the next start; `plugged`: it has it. `kthread_pid` is the thread
    that serves it, 0 for none. `media_present`: the cable is plugged. `device` is the name of the host's end.
    """

    active: bool
    plugged: bool
    kthread_pid: int
    media_present: bool
    device: str | None = None
    pvs_rules_active: bool
