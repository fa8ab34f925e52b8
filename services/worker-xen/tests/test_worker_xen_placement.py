"""Which NUMA nodes a VM's CPUs and memory are of: rules one by one, and what holds for any host."""

from engine.conformance.samples import sample_vm
from hypothesis import given
from hypothesis import strategies as st
from schema.objects.host import NumaAffinityPolicy
from schema.objects.vm import SchedulerParams, Vm
from worker_xen.classic.placement import (
    NODES_MAX,
    Group,
    Promise,
    Wanted,
    chosen,
    groups_of,
    is_placed,
    wanted,
    without_promised,
)
from worker_xen.libxc.values import UNREACHABLE, Cpu, Topology

GIB = 1 << 30


def flat(nodes: int, cpus_each: int = 4, threads: int = 1) -> Topology:
    """A host of nodes alike, a socket each, all as far from one another."""
    cpus = tuple(Cpu(node, node, cpu // threads) for node in range(nodes) for cpu in range(cpus_each))
    return Topology(cpus, tuple(tuple(10 if i == j else 20 for j in range(nodes)) for i in range(nodes)))


def bound(*masks: tuple[int, ...]) -> Vm:
    return sample_vm(vcpu_max=3, scheduler_params=SchedulerParams(affinity=masks))


def nodes_of(group: Group | None) -> tuple[int, ...] | None:
    return None if group is None else group.nodes


def test_a_vm_is_placed_unless_its_owner_has_bound_it_or_the_host_lets_xen_do_it() -> None:
    free, held = bound(), bound((0,))
    assert is_placed(free, NumaAffinityPolicy.BEST_EFFORT)
    assert is_placed(free, NumaAffinityPolicy.BEST_EFFORT_HARD)
    assert is_placed(free, NumaAffinityPolicy.PRIO_MEM_ONLY)
    assert not is_placed(free, NumaAffinityPolicy.ANY)
    assert not is_placed(held, NumaAffinityPolicy.BEST_EFFORT)


def test_a_vcpu_has_a_core_of_its_own_unless_memory_is_all_that_counts() -> None:
    assert wanted(bound(), NumaAffinityPolicy.BEST_EFFORT, 5) == Wanted(5, 3, 3)
    assert wanted(bound(), NumaAffinityPolicy.PRIO_MEM_ONLY, 5) == Wanted(5, 3, 0)


def test_a_vm_goes_to_the_node_with_most_memory_left() -> None:
    groups = groups_of(flat(2))
    assert nodes_of(chosen(groups, (4 * GIB, 8 * GIB), Wanted(GIB, 2, 2))) == (1,)
    assert nodes_of(chosen(groups, (8 * GIB, 4 * GIB), Wanted(GIB, 2, 2))) == (0,)
    assert nodes_of(chosen(groups, (8 * GIB, 8 * GIB), Wanted(GIB, 2, 2))) == (0,)


def test_one_that_no_node_holds_goes_to_several_and_one_that_none_hold_to_none() -> None:
    groups = groups_of(flat(3))
    assert nodes_of(chosen(groups, (GIB, 3 * GIB, 2 * GIB), Wanted(5 * GIB, 1, 1))) == (1, 2)
    assert nodes_of(chosen(groups, (9 * GIB,) * 3, Wanted(GIB, 5, 5))) == (0, 1)
    assert chosen(groups, (GIB,) * 3, Wanted(4 * GIB, 1, 1)) is None
    assert chosen(groups, (GIB,) * 3, Wanted(GIB, 13, 13)) is None


def test_near_nodes_are_preferred_to_far_ones_with_more_memory() -> None:
    """Two sockets of two nodes each, as the firmware of such machines tells it."""
    host = Topology(flat(4).cpus, ((10, 11, 21, 21), (11, 10, 21, 21), (21, 21, 10, 11), (21, 21, 11, 10)))
    free = (3 * GIB, 9 * GIB, 9 * GIB, 4 * GIB)
    assert nodes_of(chosen(groups_of(host), free, Wanted(10 * GIB, 1, 1))) == (2, 3)


def test_threads_of_a_core_do_not_count_as_cores_unless_memory_is_all_that_counts() -> None:
    groups, free = groups_of(flat(2, cpus_each=4, threads=2)), (GIB, GIB)
    assert nodes_of(chosen(groups, free, Wanted(1, 3, 3))) == (0, 1)
    assert nodes_of(chosen(groups, free, Wanted(1, 3, 0))) == (0,)


def test_cores_are_numbered_within_their_socket() -> None:
    """A node that spans two sockets has the cores of both."""
    cpus = (Cpu(0, 0, 0), Cpu(0, 1, 0), Cpu(1, 2, 0))
    assert groups_of(Topology(cpus, ((10, 20), (20, 10))))[0].cores == 2


def test_there_is_nothing_to_choose_with_one_node_or_with_distances_that_make_no_sense() -> None:
    cpus = flat(2).cpus
    assert groups_of(flat(1)) == []
    assert groups_of(Topology(cpus, ())) == []
    assert groups_of(Topology(cpus, ((11, 20), (20, 10)))) == []
    assert groups_of(Topology(cpus, ((10, 5), (20, 10)))) == []


def test_nodes_without_cpus_or_out_of_reach_are_no_choice() -> None:
    """Memory follows CPUs: of a node that has none, no VM would get any."""
    distances = ((10, 20, 20), (20, 10, 20), (20, 20, 10))
    assert {group.nodes for group in groups_of(Topology(flat(2).cpus, distances))} == {(0,), (1,), (0, 1)}
    away = UNREACHABLE
    distances = ((10, 20, away), (20, 10, away), (away, away, away))
    assert {group.nodes for group in groups_of(Topology(flat(3).cpus, distances))} == {(0,), (1,), (0, 1)}


def test_of_very_many_nodes_each_is_thought_of_alone() -> None:
    assert len(groups_of(flat(4))) == 2**4 - 1
    assert len(groups_of(flat(NODES_MAX + 1))) == NODES_MAX + 1


def test_what_is_promised_is_not_promised_again() -> None:
    assert without_promised((10, 10, 10), [Promise((0,), 4), Promise((0, 1), 8)]) == [2, 6, 10]
    assert without_promised((3, 10), [Promise((0,), 4)]) == [0, 10]


nodes = st.integers(2, 5)
needs = st.builds(Wanted, st.integers(0, 4 * GIB), st.integers(1, 10), st.integers(0, 10))


@st.composite
def hosts(draw: st.DrawFn) -> Topology:
    """With any distances that make sense, and CPUs anywhere."""
    count = draw(nodes)
    far = st.integers(10, 40)
    distances = tuple(tuple(10 if i == j else draw(far) for j in range(count)) for i in range(count))
    cpu = st.builds(Cpu, st.integers(0, count - 1), st.integers(0, 1), st.integers(0, 7))
    return Topology(tuple(draw(st.lists(cpu, max_size=16))), distances)


@given(hosts(), st.lists(st.integers(0, 4 * GIB), min_size=5, max_size=5), needs)
def test_a_vm_fits_where_it_is_placed_and_no_closer_group_holds_it(
    host: Topology, free: list[int], vm: Wanted
) -> None:
    groups = groups_of(host)
    group = chosen(groups, free, vm)
    holding = [
        other
        for other in groups
        if sum(free[node] for node in other.nodes) >= vm.memory_bytes
        and len(other.cpus) >= vm.vcpus
        and other.cores >= vm.cores
    ]
    if group is None:
        assert holding == []
        return
    assert group in holding
    assert {host.cpus[cpu].node for cpu in group.cpus} == set(group.nodes)
    assert all(other.span >= group.span for other in holding)


@given(nodes, st.integers(1, GIB), st.integers(1, 40))
def test_vms_alike_spread_evenly_over_nodes_alike(count: int, size: int, vms: int) -> None:
    groups, free = groups_of(flat(count)), [64 * GIB] * count
    for _ in range(vms):
        group = chosen(groups, free, Wanted(size, 1, 1))
        assert group is not None
        free = without_promised(free, [Promise(group.nodes, size)])
    assert max(free) - min(free) <= size


@given(st.lists(st.tuples(nodes, st.integers(0, GIB)), max_size=6))
def test_promises_never_leave_less_than_nothing(promised: list[tuple[int, int]]) -> None:
    promises = [Promise(tuple(range(count)), size) for count, size in promised]
    left = without_promised([GIB] * 5, promises)
    assert all(0 <= each <= GIB for each in left)
