"""Hosts: what a backend says of the machine it runs on."""

from enum import StrEnum

from schema.wire.types import Assoc, CpuPolicy, Struct


class ChipsetInfo(Struct, wire="chipset_info"):
    """`Host.chipset_info`."""

    iommu: bool
    hvm: bool


class CpuInfo(Struct, wire="cpu_info"):
    """`Host.cpu_info`."""

    cpu_count: int
    socket_count: int
    threads_per_core: int
    nr_nodes: int
    vendor: str
    speed: str
    modelname: str
    family: str
    model: str
    stepping: str
    flags: str
    features: CpuPolicy
    features_pv: CpuPolicy
    features_hvm: CpuPolicy
    features_pv_host: CpuPolicy
    features_hvm_host: CpuPolicy


class GuestAgentFeature(Struct, wire="guest_agent_feature"):
    """`Host.guest_agent_feature`."""

    name: str
    licensed: bool
    parameters: Assoc[str]


class Hypervisor(Struct, wire="hypervisor"):
    """`Host.hypervisor`."""

    version: str
    capabilities: str


class Host(Struct, wire="t"):
    """`Host.t`."""

    cpu_info: CpuInfo
    hypervisor: Hypervisor
    chipset_info: ChipsetInfo


class NumaAffinityPolicy(StrEnum):
    """`Host.numa_affinity_policy`."""

    ANY = "Any"
    BEST_EFFORT = "Best_effort"
    BEST_EFFORT_HARD = "Best_effort_hard"
    PRIO_MEM_ONLY = "Prio_mem_only"


class Query(Struct, wire="t"):
    """`Query.t`."""

    name: str
    vendor: str
    version: str
    features: tuple[str, ...]
    instance_id: str
