"""The simulated host's own verbs: a plausible machine, the same every time."""

from collections.abc import Sequence

from schema.objects.host import (
    ChipsetInfo,
    CpuInfo,
    GuestAgentFeature,
    Host,
    Hypervisor,
    NumaAffinityPolicy,
)
from typing_extensions import override

from engine.backend import HostVerbs

_CPUS = 16
_MEMORY_MIB = 1024 * 1024
"""1 TiB, as in the original."""

_CPU_POLICY = "178bfbff-f6fa3203-2d93fbff-00000403-00000001-219c01a9"
"""The features of a machine that does not exist, in the form of a real one's."""

_HOST = Host(
    cpu_info=CpuInfo(
        cpu_count=_CPUS,
        socket_count=2,
        threads_per_core=2,
        nr_nodes=2,
        vendor="GenuineSimulator",
        speed="2400.000",
        modelname="Simulated CPU @ 2.40GHz",
        family="6",
        model="85",
        stepping="7",
        flags="fpu de tsc msr pae mce cx8 apic sep mtrr mca cmov pat clflush mmx fxsr sse sse2 ht nx lm",
        features=_CPU_POLICY,
        features_pv=_CPU_POLICY,
        features_hvm=_CPU_POLICY,
        features_pv_host=_CPU_POLICY,
        features_hvm_host=_CPU_POLICY,
    ),
    hypervisor=Hypervisor(version="1.0.0-simulator", capabilities="hvm pv"),
    chipset_info=ChipsetInfo(iommu=True, hvm=True),
)


class SimulatedHost(HostVerbs):
    """`HostVerbs` of the simulator."""

    @override
    def stat(self) -> Host:
        return _HOST

    @override
    def console_data(self) -> str:
        """The original simulator's words."""
        return "Xen simulator"

    @override
    def total_memory_mib(self) -> int:
        return _MEMORY_MIB

    @override
    def send_debug_keys(self, keys: str) -> None:
        """Nothing listens."""

    @override
    def set_numa_affinity_policy(self, policy: NumaAffinityPolicy | None) -> None:
        """There is no memory to place."""

    @override
    def update_guest_agent_features(self, features: Sequence[GuestAgentFeature]) -> None:
        """No guest listens."""

    @override
    def combine_cpu_policies(self, first: str, second: str) -> str:
        """Bit by bit what both have; words that are no hexadecimal numbers count as none."""
        pairs = zip(_words(first), _words(second), strict=False)
        return "-".join(f"{a & b:08x}" for a, b in pairs)

    @override
    def is_compatible(self, vm_policy: str, host_policy: str) -> bool:
        """Whether the host has every bit that the VM wants."""
        wanted, offered = _words(vm_policy), _words(host_policy)
        offered += [0] * (len(wanted) - len(offered))
        return all(want & offer == want for want, offer in zip(wanted, offered, strict=False))


def _words(policy: str) -> list[int]:
    return [_word(text) for text in policy.split("-") if text]


def _word(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0
