"""The host's own verbs, from what the hypervisor and dom0's kernel tell."""

from engine.hosted.cpuinfo import CPUINFO, first_described
from engine.hosted.unrestricted import UnassistedHosts
from schema.fault import unimplemented
from schema.objects.host import ChipsetInfo, Host, NumaAffinityPolicy
from schema.objects.host import Hypervisor as HypervisorInfo
from typing_extensions import override

from worker_xen.xenlight.hypervisor import Hypervisor, spoken
from worker_xen.xenlight.values import Json

_PAGE_BYTES = 4096
_MIB = 1 << 20


class XenlightHost(UnassistedHosts):
    """`HostVerbs` on libxl."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @override
    def stat(self) -> Host:
        with spoken():
            physical, version = self._hypervisor.libxl.physinfo(), self._hypervisor.libxl.version()
        return host_of(physical, version, CPUINFO.read_text())

    @override
    def console_data(self) -> str:
        with spoken():
            return self._hypervisor.libxl.hypervisor_console()

    @override
    def total_memory_mib(self) -> int:
        with spoken():
            return int(self._hypervisor.libxl.physinfo()["total_pages"]) * _PAGE_BYTES // _MIB

    @override
    def set_numa_affinity_policy(self, policy: NumaAffinityPolicy | None) -> None:
        """Whether libxl places VMs that start from now on. Errors: `Unimplemented`, it binds none hard."""
        if policy is NumaAffinityPolicy.BEST_EFFORT_HARD:
            raise unimplemented("HOST.set_numa_affinity_policy to Best_effort_hard")
        self._hypervisor.policy.write(policy)

    @override
    def send_debug_keys(self, keys: str) -> None:
        with spoken():
            self._hypervisor.libxl.send_debug_keys(keys)


def host_of(physical: Json, version: Json, cpuinfo: str) -> Host:
    """A host as libxl words it; what dom0's kernel says is of one processor, and all are alike."""
    cpus, threads = int(physical.get("nr_cpus", 1)), int(physical.get("threads_per_core", 1))
    per_socket = max(1, int(physical.get("cores_per_socket", 1)) * threads)
    return Host(
        cpu_info=first_described(cpuinfo).model_copy(
            update={
                "cpu_count": cpus,
                "socket_count": max(1, cpus // per_socket),
                "threads_per_core": threads,
                "nr_nodes": int(physical.get("nr_nodes", 1)),
                "speed": f"{int(physical.get('cpu_khz', 0)) / 1000:.3f}",
            }
        ),
        hypervisor=HypervisorInfo(
            version=f"{version['xen_version_major']}.{version['xen_version_minor']}"
            f"{version.get('xen_version_extra', '')}",
            capabilities=str(version.get("capabilities", "")).strip(),
        ),
        chipset_info=ChipsetInfo(
            iommu=bool(physical.get("cap_hvm_directio")), hvm=bool(physical.get("cap_hvm"))
        ),
    )
