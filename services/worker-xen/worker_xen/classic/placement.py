"""Placement: which NUMA nodes a VM's CPUs and memory shall be of.

Memory follows CPUs: Xen takes a domain's from the nodes of the CPUs that its vCPUs are bound to, or had
rather run on. So a group of nodes is chosen, for all vCPUs alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from schema.objects.host import NumaAffinityPolicy
from schema.objects.vm import Vm

from worker_xen.libxc.values import UNREACHABLE, Topology

NODES_MAX = 12
"""Of how many nodes every group is thought of, 4,095 of them; of more, each node alone."""

_OWN = 10
"""A node's distance from itself, which firmware that makes sense gives."""


@dataclass(frozen=True, slots=True)
class Group:
    """Some nodes: their CPUs, how many cores these are, how far apart they are, at most and on average."""

    nodes: tuple[int, ...]
    cpus: tuple[int, ...]
    cores: int
    span: tuple[int, float]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a VM needs of its nodes; each vCPU a CPU of its own, and as many `cores`."""

    memory_bytes: int
    vcpus: int
    cores: int


@dataclass(frozen=True, slots=True)
class Promise:
    """Memory that a domain is about to take from its nodes, evenly."""

    nodes: tuple[int, ...]
    memory_bytes: int


def is_placed(vm: Vm, policy: NumaAffinityPolicy) -> bool:
    """Whether nodes are chosen for it: not if its owner has bound it to CPUs, as in the original."""
    return policy is not NumaAffinityPolicy.ANY and not vm.scheduler_params.affinity


def wanted(vm: Vm, policy: NumaAffinityPolicy, memory_bytes: int) -> Wanted:
    """As in the original a vCPU has a core of its own, unless memory is all that counts."""
    is_memory_all = policy is NumaAffinityPolicy.PRIO_MEM_ONLY
    return Wanted(memory_bytes, vm.vcpu_max, 0 if is_memory_all else vm.vcpu_max)


def groups_of(host: Topology) -> list[Group]:
    """All groups of nodes that have CPUs, the closest first; none, if there is nothing to choose.

    A host has nothing to choose from with less than two nodes, and with distances that make no sense.
    """
    found = {cpu.node for cpu in host.cpus}
    nodes = [node for node in _sensible(host.distances) if node in found]
    if len(nodes) < 2:
        return []
    sizes = range(1, len(nodes) + 1) if len(nodes) <= NODES_MAX else range(1, 2)
    groups = (_group(host, some) for size in sizes for some in combinations(nodes, size))
    return sorted(groups, key=lambda group: group.span)


def chosen(groups: Iterable[Group], free_bytes: Sequence[int], vm: Wanted) -> Group | None:
    """Of the closest ones that a VM fits, that with most memory left; None: it fits none.

    Of several alike, that with the lowest numbers.
    """
    fitting = [group for group in groups if _fits(group, free_bytes, vm)]
    closest = [group for group in fitting if group.span == fitting[0].span]
    return max(closest, key=lambda group: _free(group, free_bytes), default=None)


def without_promised(free_bytes: Sequence[int], promises: Iterable[Promise]) -> list[int]:
    """What is left of each node's memory when all that is promised is taken."""
    left = list(free_bytes)
    for promise in promises:
        for node in promise.nodes:
            left[node] = max(0, left[node] - promise.memory_bytes // len(promise.nodes))
    return left


def _sensible(distances: Sequence[Sequence[int]]) -> list[int]:
    """The nodes that can be reached; none, if one is further from itself than from another."""
    own = {node: row[node] for node, row in enumerate(distances) if row[node] != UNREACHABLE}
    is_sensible = all(distance == _OWN for distance in own.values()) and all(
        distance >= _OWN for row in distances for distance in row
    )
    return list(own) if is_sensible else []


def _group(host: Topology, nodes: tuple[int, ...]) -> Group:
    cpus = tuple(number for number, cpu in enumerate(host.cpus) if cpu.node in nodes)
    cores = {(host.cpus[number].socket, host.cpus[number].core) for number in cpus}
    distances = [host.distances[one][other] for one in nodes for other in nodes]
    return Group(nodes, cpus, len(cores), (max(distances), sum(distances) / len(distances)))


def _free(group: Group, free_bytes: Sequence[int]) -> int:
    return sum(free_bytes[node] for node in group.nodes)


def _fits(group: Group, free_bytes: Sequence[int], vm: Wanted) -> bool:
    has_cpus = len(group.cpus) >= vm.vcpus and group.cores >= vm.cores
    return has_cpus and _free(group, free_bytes) >= vm.memory_bytes
