"""VIF: network interfaces."""

# mypy: disable-error-code="no-any-return"
# The codec answers what schema.methods declares; a test holds these annotations against it.

from collections.abc import Sequence
from dataclasses import dataclass

from schema.objects.network import Network
from schema.objects.vif import Ipv4Configuration, Ipv6Configuration, LockingMode, PvsProxy, Vif, VifState
from schema.wire.types import DeviceId

from xenops.calls.caller import Caller


@dataclass(frozen=True, slots=True)
class VifCalls:
    """The methods `VIF.*`."""

    call: Caller

    def add(self, vif: Vif) -> DeviceId:
        """Make an interface known, or replace what is known of it."""
        return self.call("VIF.add", vif=vif)

    def remove(self, device: DeviceId) -> None:
        """Forget an unplugged interface."""
        self.call("VIF.remove", id=device)

    def stat(self, device: DeviceId) -> tuple[Vif, VifState]:
        """An interface as configured and as it is."""
        return self.call("VIF.stat", id=device)

    def list(self, vm: str) -> tuple[tuple[Vif, VifState], ...]:
        """A VM's interfaces."""
        return self.call("VIF.list", id=vm)

    def plug(self, device: DeviceId) -> str:
        """Give the interface to its running VM."""
        return self.call("VIF.plug", id=device)

    def unplug(self, device: DeviceId, *, force: bool = False) -> str:
        """Take the interface from its VM; the guest may refuse, unless `force`."""
        return self.call("VIF.unplug", id=device, force=force)

    def move(self, device: DeviceId, network: Network) -> str:
        """Connect the interface to another network."""
        return self.call("VIF.move", id=device, network=network)

    def set_carrier(self, device: DeviceId, *, carrier: bool) -> str:
        """Plug the cable in, or pull it."""
        return self.call("VIF.set_carrier", id=device, carrier=carrier)

    def set_locking_mode(self, device: DeviceId, mode: LockingMode) -> str:
        """Restrict the addresses that the guest may use."""
        return self.call("VIF.set_locking_mode", id=device, locking_mode=mode)

    def set_ipv4_configuration(self, device: DeviceId, configuration: Ipv4Configuration) -> str:
        """Configure IPv4 in the guest."""
        return self.call("VIF.set_ipv4_configuration", id=device, ipv4_configuration=configuration)

    def set_ipv6_configuration(self, device: DeviceId, configuration: Ipv6Configuration) -> str:
        """Configure IPv6 in the guest."""
        return self.call("VIF.set_ipv6_configuration", id=device, ipv6_configuration=configuration)

    def set_pvs_proxy(self, device: DeviceId, proxy: PvsProxy | None) -> str:
        """Configure, or with None take away, the PVS proxy."""
        return self.call("VIF.set_pvs_proxy", id=device, proxy=proxy)

    def set_trunks(self, device: DeviceId, trunks: Sequence[int]) -> str:
        """Restrict the VLANs that the guest sees."""
        return self.call("VIF.set_trunks", id=device, trunks=tuple(trunks))
