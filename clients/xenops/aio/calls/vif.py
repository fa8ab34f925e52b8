"""VIF: network interfaces.

Made of `xenops/calls/vif.py` by `make async-client`: change that one.
"""

# mypy: disable-error-code="no-any-return"
# The codec answers what schema.methods declares; a test holds these annotations against it.

from collections.abc import Sequence
from dataclasses import dataclass

from schema.objects.network import Network
from schema.objects.vif import Ipv4Configuration, Ipv6Configuration, LockingMode, PvsProxy, Vif, VifState
from schema.wire.types import DeviceId

from xenops.aio.caller import AsyncCaller


@dataclass(frozen=True, slots=True)
class AsyncVifCalls:
    """The methods `VIF.*`."""

    call: AsyncCaller

    async def add(self, vif: Vif) -> DeviceId:
        """Make an interface known, or replace what is known of it."""
        return await self.call("VIF.add", vif=vif)

    async def remove(self, device: DeviceId) -> None:
        """Forget an unplugged interface."""
        await self.call("VIF.remove", id=device)

    async def stat(self, device: DeviceId) -> tuple[Vif, VifState]:
        """An interface as configured and as it is."""
        return await self.call("VIF.stat", id=device)

    async def list(self, vm: str) -> tuple[tuple[Vif, VifState], ...]:
        """A VM's interfaces."""
        return await self.call("VIF.list", id=vm)

    async def plug(self, device: DeviceId) -> str:
        """Give the interface to its running VM."""
        return await self.call("VIF.plug", id=device)

    async def unplug(self, device: DeviceId, *, force: bool = False) -> str:
        """Take the interface from its VM; the guest may refuse, unless `force`."""
        return await self.call("VIF.unplug", id=device, force=force)

    async def move(self, device: DeviceId, network: Network) -> str:
        """Connect the interface to another network."""
        return await self.call("VIF.move", id=device, network=network)

    async def set_carrier(self, device: DeviceId, *, carrier: bool) -> str:
        """Plug the cable in, or pull it."""
        return await self.call("VIF.set_carrier", id=device, carrier=carrier)

    async def set_locking_mode(self, device: DeviceId, mode: LockingMode) -> str:
        """Restrict the addresses that the guest may use."""
        return await self.call("VIF.set_locking_mode", id=device, locking_mode=mode)

    async def set_ipv4_configuration(self, device: DeviceId, configuration: Ipv4Configuration) -> str:
        """Configure IPv4 in the guest."""
        return await self.call("VIF.set_ipv4_configuration", id=device, ipv4_configuration=configuration)

    async def set_ipv6_configuration(self, device: DeviceId, configuration: Ipv6Configuration) -> str:
        """Configure IPv6 in the guest."""
        return await self.call("VIF.set_ipv6_configuration", id=device, ipv6_configuration=configuration)

    async def set_pvs_proxy(self, device: DeviceId, proxy: PvsProxy | None) -> str:
        """Configure, or with None take away, the PVS proxy."""
        return await self.call("VIF.set_pvs_proxy", id=device, proxy=proxy)

    async def set_trunks(self, device: DeviceId, trunks: Sequence[int]) -> str:
        """Restrict the VLANs that the guest sees."""
        return await self.call("VIF.set_trunks", id=device, trunks=tuple(trunks))
