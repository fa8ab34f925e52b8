"""The host's own verbs: what libvirt tells of the machine, and dom0's kernel of Xen and its processors."""

from pathlib import Path

from engine.hosted.cpuinfo import CPUINFO, first_described
from engine.hosted.unrestricted import UnassistedHosts
from schema.objects.host import ChipsetInfo, Host
from schema.objects.host import Hypervisor as HypervisorInfo
from typing_extensions import override
from virt.spoken import spoken
from virt.values import Node
from virt.xml import attribute, parsed

from worker_xen.libvirt.hypervisor import Hypervisor

XEN = Path("/sys/hypervisor")
"""Where dom0's kernel tells of Xen."""


class LibvirtHost(UnassistedHosts):
    """`HostVerbs` on libvirt."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @override
    def stat(self) -> Host:
        with spoken():
            node, capabilities = self._hypervisor.virt.node(), self._hypervisor.virt.capabilities()
        return host_of(node, capabilities, XEN, CPUINFO.read_text())

    @override
    def total_memory_mib(self) -> int:
        with spoken():
            return self._hypervisor.virt.node().memory_mib


def host_of(node: Node, capabilities: str, xen: Path, cpuinfo: str) -> Host:
    """A host as libvirt words it; what dom0's kernel says is of one processor, and all are alike."""
    kinds = _read(xen / "properties" / "capabilities")
    return Host(
        cpu_info=first_described(cpuinfo).model_copy(
            update={
                "cpu_count": node.cpus,
                "socket_count": max(1, node.nodes * node.sockets),
                "threads_per_core": node.threads,
                "nr_nodes": node.nodes,
                "speed": f"{node.mhz:.3f}",
            }
        ),
        hypervisor=HypervisorInfo(
            version=f"{_read(xen / 'version' / 'major')}.{_read(xen / 'version' / 'minor')}"
            f"{_read(xen / 'version' / 'extra')}",
            capabilities=kinds,
        ),
        chipset_info=ChipsetInfo(
            iommu=attribute(parsed(capabilities), "./host/iommu", "support") == "yes", hvm="hvm" in kinds
        ),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
