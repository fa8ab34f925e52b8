"""The host's own verbs, from what Linux tells of itself."""

import os
from abc import abstractmethod
from pathlib import Path

from engine.hosted.cpuinfo import CPUINFO, described, processors
from engine.hosted.unrestricted import UnassistedHosts
from schema.objects.host import ChipsetInfo, CpuInfo, Host, Hypervisor
from typing_extensions import override

from worker_kvm.accelerator import Accelerator, qemu_version

IOMMU_GROUPS = Path("/sys/kernel/iommu_groups")
"""Empty where Linux uses no IOMMU."""

_MIB = 1 << 20


class LinuxHost(UnassistedHosts):
    """`HostVerbs` where Linux tells all but the hypervisor."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._has_hvm = accelerator == "kvm"

    @abstractmethod
    def hypervisor(self) -> Hypervisor:
        """What runs the VMs."""

    @override
    def stat(self) -> Host:
        return Host(
            cpu_info=cpu_info(CPUINFO.read_text(), _nodes()),
            hypervisor=self.hypervisor(),
            chipset_info=ChipsetInfo(iommu=_has_entries(IOMMU_GROUPS), hvm=self._has_hvm),
        )

    @override
    def total_memory_mib(self) -> int:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _MIB


class QemuHost(LinuxHost):
    """`HostVerbs` on QEMU."""

    def __init__(self, qemu: str, accelerator: Accelerator) -> None:
        version = f"QEMU {qemu_version(qemu)}"
        self._hypervisor = Hypervisor(version=version, capabilities=f"hvm-3.0-x86_64 {accelerator}")
        super().__init__(accelerator)

    @override
    def hypervisor(self) -> Hypervisor:
        """QEMU."""
        return self._hypervisor


def cpu_info(cpuinfo: str, nodes: int) -> CpuInfo:
    """The CPUs as /proc/cpuinfo has them; what a line does not say is empty, and counts as one."""
    cpus = processors(cpuinfo)
    first = cpus[0] if cpus else {}
    sockets = {cpu.get("physical id", "0") for cpu in cpus}
    siblings, cores = int(first.get("siblings", "1")), int(first.get("cpu cores", "1"))
    return described(first).model_copy(
        update={
            "cpu_count": len(cpus),
            "socket_count": max(1, len(sockets)),
            "threads_per_core": max(1, siblings // max(1, cores)),
            "nr_nodes": nodes,
        }
    )


def _nodes() -> int:
    return max(1, len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))))


def _has_entries(directory: Path) -> bool:
    return directory.is_dir() and any(directory.iterdir())
