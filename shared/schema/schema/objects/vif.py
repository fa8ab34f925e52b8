"""VIFs: virtual network interfaces."""

from typing import Annotated, Literal

from pydantic import Field

from schema.objects.network import LocalNetwork, Network
from schema.wire.types import Arm, Assoc, DeviceId, Int64, Struct, Variant, wire_default


class Unspecified4(Arm):
    """`Vif.ipv4_configuration`, arm `Unspecified4`."""

    kind: Literal["Unspecified4"] = "Unspecified4"


class Static4(Arm):
    """`Vif.ipv4_configuration`, arm `Static4`."""

    kind: Literal["Static4"] = "Static4"
    addresses: tuple[str, ...]
    gateway: str | None


class Dhcp4(Arm):
    """`Vif.ipv4_configuration`, arm `DHCP4`."""

    kind: Literal["DHCP4"] = "DHCP4"


Ipv4Configuration = Annotated[
    Unspecified4 | Static4 | Dhcp4,
    Field(discriminator="kind"),
    Variant("ipv4_configuration"),
]
"""`Vif.ipv4_configuration`."""


class Unspecified6(Arm):
    """`Vif.ipv6_configuration`, arm `Unspecified6`."""

    kind: Literal["Unspecified6"] = "Unspecified6"


class Static6(Arm):
    """`Vif.ipv6_configuration`, arm `Static6`."""

    kind: Literal["Static6"] = "Static6"
    addresses: tuple[str, ...]
    gateway: str | None


class Autoconf6(Arm):
    """`Vif.ipv6_configuration`, arm `Autoconf6`."""

    kind: Literal["Autoconf6"] = "Autoconf6"


Ipv6Configuration = Annotated[
    Unspecified6 | Static6 | Autoconf6,
    Field(discriminator="kind"),
    Variant("ipv6_configuration"),
]
"""`Vif.ipv6_configuration`."""


class LockedAddresses(Struct, wire="locked_addresses"):
    """`Vif.locked_addresses`."""

    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...]


class Unlocked(Arm):
    """`Vif.locking_mode`, arm `Unlocked`."""

    kind: Literal["Unlocked"] = "Unlocked"


class Disabled(Arm):
    """`Vif.locking_mode`, arm `Disabled`."""

    kind: Literal["Disabled"] = "Disabled"


class Locked(Arm):
    """`Vif.locking_mode`, arm `Locked`."""

    kind: Literal["Locked"] = "Locked"
    addresses: LockedAddresses


LockingMode = Annotated[
    Unlocked | Disabled | Locked,
    Field(discriminator="kind"),
    Variant("locking_mode"),
]
"""`Vif.locking_mode`."""


class PvsServer(Struct, wire="server"):
    """`Vif.PVS_proxy.server`."""

    addresses: tuple[str, ...]
    first_port: int
    last_port: int


PvsProxy = tuple[str, tuple[PvsServer, ...], str]


class Vif(Struct, wire="t"):
    """`Vif.t`."""

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
    """`Vif.state`."""

    active: bool
    plugged: bool
    kthread_pid: int
    media_present: bool
    device: str | None = None
    pvs_rules_active: bool
