"""Networks: what a VIF may be connected to."""

from typing import Annotated, Literal

from pydantic import Field

from schema.objects.pci import PciAddress
from schema.wire.types import Arm, Variant


class LocalNetwork(Arm):
    """`Network.t`, arm `Local`."""

    kind: Literal["Local"] = "Local"
    bridge: str


class RemoteNetwork(Arm):
    """`Network.t`, arm `Remote`."""

    kind: Literal["Remote"] = "Remote"
    host: str
    network: str


class SriovNetwork(Arm):
    """`Network.t`, arm `Sriov`."""

    kind: Literal["Sriov"] = "Sriov"
    address: PciAddress


Network = Annotated[
    LocalNetwork | RemoteNetwork | SriovNetwork,
    Field(discriminator="kind"),
    Variant("t"),
]
"""`Network.t`."""
