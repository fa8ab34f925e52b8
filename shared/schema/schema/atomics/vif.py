"""Atomics on VIFs: single steps of a plan, each one backend verb."""

from typing import Annotated, Literal

from pydantic import Field

from schema.atomics.step import Step
from schema.objects.network import Network
from schema.objects.vif import (
    Ipv4Configuration,
    Ipv6Configuration,
    LockingMode,
    PvsProxy,
)
from schema.wire.types import DeviceId


class VifPlug(Step):
    """Give the interface to the domain."""

    kind: Literal["VIF_plug"] = "VIF_plug"
    id: DeviceId


class VifUnplug(Step):
    """Take it away."""

    kind: Literal["VIF_unplug"] = "VIF_unplug"
    id: DeviceId
    force: bool


class VifMove(Step):
    """Connect it elsewhere."""

    kind: Literal["VIF_move"] = "VIF_move"
    id: DeviceId
    network: Network


class VifSetCarrier(Step):
    """Plug or pull the cable."""

    kind: Literal["VIF_set_carrier"] = "VIF_set_carrier"
    id: DeviceId
    carrier: bool


class VifSetLockingMode(Step):
    """Restrict its addresses."""

    kind: Literal["VIF_set_locking_mode"] = "VIF_set_locking_mode"
    id: DeviceId
    locking_mode: LockingMode


class VifSetPvsProxy(Step):
    """Configure the PVS proxy."""

    kind: Literal["VIF_set_pvs_proxy"] = "VIF_set_pvs_proxy"
    id: DeviceId
    proxy: PvsProxy | None


class VifSetIpv4Configuration(Step):
    """Configure the guest's IPv4."""

    kind: Literal["VIF_set_ipv4_configuration"] = "VIF_set_ipv4_configuration"
    id: DeviceId
    configuration: Ipv4Configuration


class VifSetIpv6Configuration(Step):
    """Configure the guest's IPv6."""

    kind: Literal["VIF_set_ipv6_configuration"] = "VIF_set_ipv6_configuration"
    id: DeviceId
    configuration: Ipv6Configuration


class VifSetActive(Step):
    """Note that the VM shall have it."""

    kind: Literal["VIF_set_active"] = "VIF_set_active"
    id: DeviceId
    active: bool


class VifSetTrunks(Step):
    """Restrict its VLANs."""

    kind: Literal["VIF_set_trunks"] = "VIF_set_trunks"
    id: DeviceId
    trunks: tuple[int, ...]


VifStep = (
    VifPlug
    | VifUnplug
    | VifMove
    | VifSetCarrier
    | VifSetLockingMode
    | VifSetPvsProxy
    | VifSetIpv4Configuration
    | VifSetIpv6Configuration
    | VifSetActive
    | VifSetTrunks
)
"""Any of the above, as a class to test for."""

VifAtomic = Annotated[VifStep, Field(discriminator="kind")]
"""Any of the above, told apart by `kind`."""
