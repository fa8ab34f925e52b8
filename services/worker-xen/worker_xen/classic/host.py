"""The host's own verbs, as the hypervisor and Linux tell of it."""

from collections.abc import Sequence

from engine.backend import HostVerbs
from engine.hosted.cpuinfo import CPUINFO, first_described
from schema.fault import internal_error
from schema.objects.host import ChipsetInfo, GuestAgentFeature, Host, NumaAffinityPolicy
from schema.objects.host import Hypervisor as HypervisorInfo
from typing_extensions import override

from worker_xen.classic.features import combined, is_subset, words_of
from worker_xen.classic.hypervisor import Hypervisor
from worker_xen.xenstore.tree import Node

_MIB = 1 << 20
_FEATURES = "/guest_agent_features"
_PV, _HVM, _RAW = 2, 3, 0


class ClassicHost(HostVerbs):
    """`HostVerbs` on Xen by libxc."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @override
    def stat(self) -> Host:
        xen = self._hypervisor.xen
        with self._hypervisor.told("of the host"):
            host = xen.host()
            extra, capabilities = xen.version_details()
            raw, pv, hvm = (words_of(xen.featureset(index)) for index in (_RAW, _PV, _HVM))
        per_socket = max(1, host.cores_per_socket * host.threads_per_core)
        return Host(
            cpu_info=first_described(CPUINFO.read_text()).model_copy(
                update={
                    "cpu_count": host.cpus,
                    "socket_count": max(1, host.cpus // per_socket),
                    "threads_per_core": host.threads_per_core,
                    "nr_nodes": host.nodes,
                    "speed": f"{host.cpu_khz / 1000:.3f}",
                    "features": raw,
                    "features_pv": pv,
                    "features_hvm": hvm,
                    "features_pv_host": pv,
                    "features_hvm_host": hvm,
                }
            ),
            hypervisor=HypervisorInfo(version=f"{xen.version_text}{extra}", capabilities=capabilities),
            chipset_info=ChipsetInfo(iommu=host.has_iommu, hvm=host.has_hvm),
        )

    @override
    def console_data(self) -> str:
        with self._hypervisor.told("of the host"):
            return self._hypervisor.xen.console_ring()

    @override
    def total_memory_mib(self) -> int:
        with self._hypervisor.told("of the host"):
            return self._hypervisor.xen.host().memory_bytes // _MIB

    @override
    def send_debug_keys(self, keys: str) -> None:
        with self._hypervisor.told("of the host"):
            self._hypervisor.xen.send_debug_keys(keys)

    @override
    def set_numa_affinity_policy(self, policy: NumaAffinityPolicy | None) -> None:
        """VMs that get their memory from now on are placed so."""
        self._hypervisor.policy.write(policy)

    @override
    def update_guest_agent_features(self, features: Sequence[GuestAgentFeature]) -> None:
        """Written where agents look for them, all at once."""
        nodes = [Node(_FEATURES, "", ("r0",))]
        for feature in features:
            path = f"{_FEATURES}/{feature.name}"
            nodes.append(Node(f"{path}/licensed", "1" if feature.licensed else "0"))
            nodes += [Node(f"{path}/parameters/{name}", value) for name, value in feature.parameters]
        self._hypervisor.store.replace([_FEATURES], nodes)

    @override
    def combine_cpu_policies(self, first: str, second: str) -> str:
        try:
            return combined(first, second)
        except ValueError as error:
            raise internal_error(
                f"Cannot combine the CPU policies {first!r} and {second!r}: {error}"
            ) from error

    @override
    def is_compatible(self, vm_policy: str, host_policy: str) -> bool:
        try:
            return is_subset(vm_policy, host_policy)
        except ValueError as error:
            raise internal_error(
                f"Cannot compare the CPU policies {vm_policy!r} and {host_policy!r}: {error}"
            ) from error
