"""NUMA nodes on classic, on a host with two of a processor each."""

from collections.abc import Iterator

import pytest
from classic_subject import ClassicSubject
from engine.conformance import SuiteExecution
from leftovers import nothing_left
from nodes import MOSTLY, affinity, are_of_both, await_clean, memory, roomiest, started, vm_of
from schema.objects.host import NumaAffinityPolicy
from schema.objects.vm import Pv, Pvh
from xen_lives import ends_when_asked, resume


@pytest.fixture(name="subject", params=[Pv, Pvh], scope="module")
def make_subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClassicSubject]:
    with nothing_left():
        subject = ClassicSubject(tmp_path_factory.mktemp("numa"), request.param)
        yield subject
        subject.end()


def test_a_guest_and_its_memory_are_of_the_node_with_most_memory_also_after_a_rest(
    subject: ClassicSubject,
) -> None:
    subject.backend.host.set_numa_affinity_policy(NumaAffinityPolicy.BEST_EFFORT)
    node = roomiest()
    life = started(subject, vm_of(subject))
    assert affinity(life) == ("all", str(node))
    assert memory(life)[node] > MOSTLY
    subject.let_boot(life.vm)
    image, verbs = subject.make_image(), subject.backend.vm
    verbs.save(SuiteExecution(), life.vm, image, live=False)
    life.stop()
    await_clean()
    resume(life, lambda task: verbs.restore(task, life.vm, life.devices, image))
    again = affinity(life)[1]
    assert again in {"0", "1"}
    assert memory(life)[int(again)] > MOSTLY
    ends_when_asked(subject, life.vm)
    life.stop()


def test_who_is_placed_hard_may_run_nowhere_else(subject: ClassicSubject) -> None:
    subject.backend.host.set_numa_affinity_policy(NumaAffinityPolicy.BEST_EFFORT_HARD)
    node = roomiest()
    life = started(subject, vm_of(subject))
    assert affinity(life)[0] == str(node)
    assert memory(life)[node] > MOSTLY
    life.stop()


def test_a_guest_that_its_owner_has_bound_is_where_he_wants_it(subject: ClassicSubject) -> None:
    subject.backend.host.set_numa_affinity_policy(None)
    other = 1 - roomiest()
    life = started(subject, vm_of(subject, other, 7))
    assert affinity(life) == (str(other), "all")
    assert memory(life)[other] > MOSTLY
    life.stop()


def test_a_guest_that_nobody_places_and_one_that_no_node_holds_are_of_both(subject: ClassicSubject) -> None:
    """Two vCPUs with a core each are more than a node has here; both nodes together are all CPUs."""
    subject.backend.host.set_numa_affinity_policy(NumaAffinityPolicy.ANY)
    life = started(subject, vm_of(subject))
    assert affinity(life) == ("all", "all")
    assert are_of_both(memory(life))
    life.stop()
    subject.backend.host.set_numa_affinity_policy(NumaAffinityPolicy.BEST_EFFORT)
    life = started(subject, subject.vm())
    assert affinity(life) == ("all", "all")
    assert are_of_both(memory(life))
    life.stop()


def test_the_state_says_that_xen_does_not_tell(subject: ClassicSubject) -> None:
    life = started(subject, vm_of(subject))
    state = subject.backend.vm.get_state(life.vm)
    assert (state.numa_optimised, state.numa_nodes, state.numa_node_memory) == (False, -1, ())
    assert subject.backend.host.stat().cpu_info.nr_nodes == 2
    life.stop()
