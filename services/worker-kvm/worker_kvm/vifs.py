"""The verbs on interfaces that QEMU's two backends answer alike: which addresses one has in its guest."""

from abc import abstractmethod

from engine.backend import Execution
from engine.hosted.notes import HostT
from engine.hosted.vifs import HostedVifs
from schema.ids import VmId
from schema.objects.vif import Ipv4Configuration, Ipv6Configuration, Vif
from typing_extensions import override

from worker_kvm.addresses import refuse_automatic, wanted


class KvmVifs(HostedVifs[HostT]):
    """`HostedVifs` with addresses: the agent in a guest sets them when it can, as one on Xen does."""

    @abstractmethod
    def _attend(self, vm: str) -> None:
        """Have a guest's agent do soon what is pending; there is none: once there is."""

    @override
    def set_ipv4_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv4Configuration
    ) -> None:
        """Note it, and have the guest's agent set it. Errors: those of `refuse_automatic`, `wanted`."""
        refuse_automatic("VIF.set_ipv4_configuration", configuration)
        self._configure(vm, vif, ipv4_configuration=configuration)

    @override
    def set_ipv6_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv6Configuration
    ) -> None:
        """As for IPv4."""
        refuse_automatic("VIF.set_ipv6_configuration", configuration)
        self._configure(vm, vif, ipv6_configuration=configuration)

    def _configure(self, vm: VmId, vif: Vif, **fields: object) -> None:
        wanted(vif.model_copy(update=fields))
        self._set(vm, vif, **fields)
        self._attend(vm)
