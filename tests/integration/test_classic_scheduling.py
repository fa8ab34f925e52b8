"""Backend classic gives domains their share of CPUs, and NUMA nodes before they have any memory."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from engine.backend import Devices
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import Life, refusal
from schema.fault import XenopsError
from schema.objects.errors import InternalError
from schema.objects.host import NumaAffinityPolicy
from schema.objects.vm import SchedulerParams, Vm
from test_classic_conformance import ClassicSubject
from test_classic_deaths import make_subject
from worker_xen.classic.nature import nature_of
from worker_xen.classic.scheduling import Scheduling
from worker_xen.libxc.port import XenError
from worker_xen.libxc.values import Topology
from worker_xen.policy import PolicyFile

__all__ = ["make_subject"]

GIB = 1 << 30
NODES = ((0, 1), (2, 3))
"""The CPUs of the nodes that the host in hand has."""


def born(subject: ClassicSubject, vm: Vm) -> dict[tuple[int, bool], tuple[int, ...]]:
    """Start a VM, and end it; answers what its vCPUs were bound to."""
    life = Life(subject, vm, Devices())
    for step in life.start_steps()[:2]:
        step(SuiteExecution())
    [domid] = subject.backend.vm.get_state(vm).domids
    bound = bound_of(subject, domid)
    life.stop()
    return bound


def bound_of(subject: ClassicSubject, domid: int) -> dict[tuple[int, bool], tuple[int, ...]]:
    return {(vcpu, is_soft): cpus for (of, vcpu, is_soft), cpus in subject.host.bound.items() if of == domid}


def vm_of(subject: ClassicSubject, *masks: tuple[int, ...], priority: tuple[int, int] | None = None) -> Vm:
    params = SchedulerParams(priority=priority, affinity=masks)
    return subject.make_vm().model_copy(update={"vcpu_max": 2, "scheduler_params": params})


def soft(cpus: tuple[int, ...]) -> dict[tuple[int, bool], tuple[int, ...]]:
    return {(0, True): cpus, (1, True): cpus}


def hard(*cpus: tuple[int, ...]) -> dict[tuple[int, bool], tuple[int, ...]]:
    return {(vcpu, False): each for vcpu, each in enumerate(cpus)}


def test_a_vm_gets_the_node_with_most_memory_as_the_host_s_policy_has_it(subject: ClassicSubject) -> None:
    vm, verbs = vm_of(subject), subject.backend.host
    subject.host.nodes_free = (2 * GIB, 3 * GIB)
    assert born(subject, vm) == soft(NODES[1])
    verbs.set_numa_affinity_policy(NumaAffinityPolicy.BEST_EFFORT_HARD)
    assert born(subject, vm) == hard(NODES[1], NODES[1])
    verbs.set_numa_affinity_policy(NumaAffinityPolicy.ANY)
    assert born(subject, vm) == {}
    verbs.set_numa_affinity_policy(NumaAffinityPolicy.PRIO_MEM_ONLY)
    assert born(subject, vm) == soft(NODES[1])
    verbs.set_numa_affinity_policy(None)
    assert born(subject, vm) == soft(NODES[1])


def test_the_policy_outlives_the_worker(subject: ClassicSubject) -> None:
    subject.backend.host.set_numa_affinity_policy(NumaAffinityPolicy.ANY)
    subject.reopen()
    assert born(subject, vm_of(subject)) == {}


def test_a_policy_that_nobody_can_read_counts_as_none_and_one_that_cannot_be_kept_is_refused(
    tmp_path: Path,
) -> None:
    policy = PolicyFile(tmp_path)
    policy.write(NumaAffinityPolicy.ANY)
    (tmp_path / "numa-affinity-policy").write_text("as you like")
    assert policy.read() is NumaAffinityPolicy.BEST_EFFORT
    error = refusal(lambda: PolicyFile(tmp_path / "absent").write(NumaAffinityPolicy.ANY))
    assert isinstance(error, InternalError)
    assert "cannot keep the NUMA affinity policy" in error.message


def test_a_vm_that_no_node_holds_is_left_to_xen(subject: ClassicSubject) -> None:
    subject.host.nodes_free = (0, 0)
    assert born(subject, vm_of(subject)) == {}


def test_a_vm_that_its_owner_has_bound_is_not_placed(subject: ClassicSubject) -> None:
    """The first word stands for vCPUs that have none of their own; CPUs that no host has do no harm."""
    assert born(subject, vm_of(subject, (1, 3))) == hard((1, 3), (1, 3))
    assert born(subject, vm_of(subject, (0,), (2, -1, 4, 1 << 40))) == hard((0,), (2,))


def test_a_resumed_vm_has_its_share_its_cpus_and_its_node_again(subject: ClassicSubject) -> None:
    """They are no part of the image: they are given to the domain before it gets its memory."""
    for masks, bound in (((), soft(NODES[0])), (((3,),), hard((3,), (3,)))):
        vm = vm_of(subject, *masks, priority=(512, 50))
        life, image = Life(subject, vm, Devices()), subject.make_image()
        life.start()
        subject.let_boot(vm)
        subject.backend.vm.save(SuiteExecution(), vm, image, live=False)
        life.stop()
        life.start_steps()[0](SuiteExecution())
        subject.backend.vm.restore(SuiteExecution(), vm, Devices(), image)
        [domid] = subject.backend.vm.get_state(vm).domids
        assert subject.host.weights[domid] == (512, 50)
        again = {
            (vcpu, is_soft): cpus for (of, vcpu, is_soft), cpus in subject.host.bound.items() if of == domid
        }
        assert again == bound
        life.stop()


def test_a_host_that_does_not_tell_its_nodes_says_so(
    subject: ClassicSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent() -> Topology:
        raise XenError("Xen did not tell of its CPUs")

    monkeypatch.setattr(subject.host, "topology", silent)
    with pytest.raises(XenopsError, match="did not tell of its CPUs"):
        born(subject, vm_of(subject))


def test_vms_that_are_filled_at_once_are_not_promised_the_same_memory(
    subject: ClassicSubject, tmp_path: Path
) -> None:
    """What one has taken is the host's to tell, and no more promised."""
    host, vm = subject.host, vm_of(subject)
    scheduling = Scheduling(host, PolicyFile(tmp_path))
    host.nodes_free = (3 * GIB, 3 * GIB)
    numbers = [host.create(UUID(int=number), nature_of(vm)) for number in range(1, 6)]
    with ExitStack() as filling:
        for domid in numbers[:4]:
            filling.enter_context(scheduling.placed(domid, vm, 2 * GIB))
        placed = [host.bound.get((domid, 0, True)) for domid in numbers[:4]]
        assert placed == [NODES[0], NODES[1], (0, 1, 2, 3), None]
    with scheduling.placed(numbers[0], vm, 2 * GIB):
        host.found[numbers[0]] = replace(host.found[numbers[0]], memory_bytes=2 * GIB)
        host.nodes_free = (GIB, GIB // 2)
        with scheduling.placed(numbers[4], vm, GIB):
            assert host.bound[numbers[4], 0, True] == NODES[0]


def test_what_was_promised_to_a_domain_that_could_not_be_bound_is_free_again(
    subject: ClassicSubject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object, **_named: object) -> None:
        raise XenError("Xen did not set the affinity")

    host, vm = subject.host, vm_of(subject)
    scheduling = Scheduling(host, PolicyFile(tmp_path))
    host.nodes_free = (3 * GIB, 0)
    first, second = (host.create(UUID(int=number), nature_of(vm)) for number in (1, 2))
    with monkeypatch.context() as patched:
        patched.setattr(host, "set_affinity", refuse)
        with pytest.raises(XenError), scheduling.placed(first, vm, 2 * GIB):
            pass
    with scheduling.placed(second, vm, 2 * GIB):
        assert host.bound[second, 0, True] == NODES[0]
