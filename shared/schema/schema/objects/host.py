"""Hosts: what a backend says of the machine it runs on."""

from enum import StrEnum

from schema.wire.types import Assoc, CpuPolicy, Struct


class ChipsetInfo(Struct, wire="chipset_info"):
    """Whether devices can be given to guests (`iommu`), and guests be fully virtualised (`hvm`)."""

    iommu: bool
    hvm: bool


class CpuInfo(Struct, wire="cpu_info"):
    """The host's processors: the original's `Host.cpu_info`.

    `nr_nodes` are NUMA nodes, `speed` is in MHz. Features are CPU policies, as `HOST.combine_cpu_policies`
    takes them: `features` the host's own, the others those of guests, with `_host` the most that these may
    have here.
    """

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
    """A feature that an agent in a guest may use, if it is `licensed`."""

    name: str
    licensed: bool
    parameters: Assoc[str]


class Hypervisor(Struct, wire="hypervisor"):
    """The hypervisor's version, and what kinds of guests it can run."""

    version: str
    capabilities: str


class Host(Struct, wire="t"):
    """What a backend says of its host: the original's `Host.t`."""

    cpu_info: CpuInfo
    hypervisor: Hypervisor
    chipset_info: ChipsetInfo


class NumaAffinityPolicy(StrEnum):
    """How VMs are placed on NUMA nodes."""

    ANY = "Any"
    BEST_EFFORT = "Best_effort"
    BEST_EFFORT_HARD = "Best_effort_hard"
    PRIO_MEM_ONLY = "Prio_mem_only"


class Query(Struct, wire="t"):
    """Who serves an instance: the original's `Query.t`."""

    name: str
    vendor: str
    version: str
    features: tuple[str, ...]
    instance_id: str
