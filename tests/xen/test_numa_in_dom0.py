"""NUMA nodes on a real, if emulated, Xen host that has two of them: every backend."""

from xen_dom0 import FOR_LONG, Dom0


@FOR_LONG
def test_guests_are_placed_on_nodes_and_bound_to_cpus(dom0_with_nodes: Dom0) -> None:
    dom0_with_nodes.pytest("tests/xen/dom0/test_classic_numa.py", "tests/xen/dom0/test_others_numa.py")
