"""Networks: what a VIF may be connected to."""

from typing import Annotated, Literal

from pydantic import Field

from schema.objects.pci import PciAddress
from schema.wire.types import Arm, Variant


class LocalNetwork(Arm):
    """A bridge of the worker's host."""

    kind: Literal["Local"] = "Local"
    bridge: str


class RemoteNetwork(Arm):
    """A network that another domain, `host`, serves."""

    kind: Literal["Remote"] = "Remote"
    host: str
    network: str


class SriovNetwork(Arm):
    """A virtual function of a network card of the host."""

    kind: Literal["Sriov"] = "Sriov"
    address: PciAddress


Network = Annotated[
    LocalNetwork | RemoteNetwork | SriovNetwork,
    Field(discriminator="kind"),
    Variant("t"),
]
"""`Network.t`."""
