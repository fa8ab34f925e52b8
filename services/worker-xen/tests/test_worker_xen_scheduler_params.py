"""The CPUs to which a VM's owner has bound its vCPUs."""

from engine.conformance.samples import sample_vm
from schema.objects.vm import SchedulerParams
from worker_xen.scheduler_params import bound_to


def masks(*affinity: tuple[int, ...]) -> list[list[int]]:
    return bound_to(sample_vm(vcpu_max=3, scheduler_params=SchedulerParams(affinity=affinity)), 4)


def test_the_first_mask_stands_for_vcpus_without_one() -> None:
    assert masks() == []
    assert masks((1, 2)) == [[1, 2]] * 3
    assert masks((0,), (1,), (2,), (3,)) == [[0], [1], [2]]


def test_cpus_that_are_not_there_are_left_out() -> None:
    """However high their numbers: nobody makes a bitmap of them."""
    assert masks((0,), (-1, 3, 4, 1 << 40)) == [[0], [3], [0]]
