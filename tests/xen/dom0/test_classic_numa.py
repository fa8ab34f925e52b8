"""NUMA nodes on classic, on a host with two of a processor each; what has become of it `xl` and Xen tell."""

import re
import subprocess
from collections.abc import Iterator

import pytest
from classic_subject import ClassicSubject
from engine.backend import Devices
from engine.conformance.subject import Life
from leftovers import await_no_more_than, of_domains
from schema.objects.host import NumaAffinityPolicy
from schema.objects.vm import Pv, Pvh, SchedulerParams, Vm
from xen_lives import ends_when_asked, rests

MOSTLY = 0.9
"""Of a domain's memory; Xen's own pages of it may be anywhere."""


@pytest.fixture(name="subject", params=[Pv, Pvh], scope="module")
def make_subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClassicSubject]:
    before = of_domains()
    subject = ClassicSubject(tmp_path_factory.mktemp("numa"), request.param)
    yield subject
    subject.end()
    await_no_more_than(before)


def xl(*words: str) -> str:
    return subprocess.run(["xl", *words], capture_output=True, text=True, check=True).stdout


def roomiest() -> int:
    """The node with most free memory. Each has the CPU of its own number."""
    free = re.findall(r"^ *(\d+): +\d+ +(\d+) +\d+,\d+$", xl("info", "-n"), re.MULTILINE)
    assert len(free) == 2
    return -max((int(mib), -int(node)) for node, mib in free)[1]


def affinity(domid: int) -> tuple[str, str]:
    """Where its vCPU may run, and where it had rather."""
    line = xl("vcpu-list", str(domid)).splitlines()[-1]
    hard, soft = line.rsplit("/", 1)
    return hard.split()[-1], soft.strip()


def memory(subject: ClassicSubject, domid: int) -> list[float]:
    """Of a domain's memory the part on each node, as Xen counts it for who presses a key."""
    subject.backend.host.send_debug_keys("u")
    told = subject.backend.host.console_data().rpartition("Memory location of each domain")[2]
    total, nodes = re.findall(rf"Domain {domid} \(total: (\d+)\):\n((?:.*Node \d+: \d+\n)+)", told)[0]
    return [int(pages) / int(total) for pages in re.findall(r"Node \d+: (\d+)", nodes)]


def vm_of(subject: ClassicSubject, *cpus: int) -> Vm:
    """With one vCPU, bound to `cpus` if there are any."""
    params = SchedulerParams(affinity=(cpus,) if cpus else ())
    vm = subject.vm().model_copy(update={"vcpu_max": 1, "vcpus": 1, "scheduler_params": params})
    subject._made[-1] = vm
    return vm


def started(subject: ClassicSubject, vm: Vm) -> Life:
    life = Life(subject, vm, Devices())
    life.start()
    return life


def domid_of(life: Life) -> int:
    [domid] = life.subject.backend.vm.get_state(life.vm).domids
    return domid


def test_a_guest_and_its_memory_are_of_the_node_with_most_memory_also_after_a_rest(
    subject: ClassicSubject,
) -> None:
    subject.backend.host.set_numa_affinity_policy(NumaAffinityPolicy.BEST_EFFORT)
    node = roomiest()
    life = started(subject, vm_of(subject))
    assert affinity(domid_of(life)) == ("all", str(node))
    assert memory(subject, domid_of(life))[node] > MOSTLY
    subject.let_boot(life.vm)
    rests(subject, life)
    again = affinity(domid_of(life))[1]
    assert again in {"0", "1"}
    assert memory(subject, domid_of(life))[int(again)] > MOSTLY
    ends_when_asked(subject, life.vm)
    life.stop()


def test_who_is_placed_hard_may_run_nowhere_else(subject: ClassicSubject) -> None:
    subject.backend.host.set_numa_affinity_policy(NumaAffinityPolicy.BEST_EFFORT_HARD)
    node = roomiest()
    life = started(subject, vm_of(subject))
    assert affinity(domid_of(life))[0] == str(node)
    assert memory(subject, domid_of(life))[node] > MOSTLY
    life.stop()


def test_a_guest_that_its_owner_has_bound_is_where_he_wants_it(subject: ClassicSubject) -> None:
    subject.backend.host.set_numa_affinity_policy(None)
    other = 1 - roomiest()
    life = started(subject, vm_of(subject, other, 7))
    assert affinity(domid_of(life)) == (str(other), "all")
    assert memory(subject, domid_of(life))[other] > MOSTLY
    life.stop()


def test_a_guest_that_nobody_places_and_one_that_no_node_holds_are_of_both(subject: ClassicSubject) -> None:
    """Two vCPUs with a core each are more than a node has here."""
    subject.backend.host.set_numa_affinity_policy(NumaAffinityPolicy.ANY)
    life = started(subject, vm_of(subject))
    assert affinity(domid_of(life)) == ("all", "all")
    assert all(part > 1 - MOSTLY for part in memory(subject, domid_of(life)))
    life.stop()
    subject.backend.host.set_numa_affinity_policy(NumaAffinityPolicy.BEST_EFFORT)
    life = started(subject, subject.vm())
    assert affinity(domid_of(life)) == ("all", "all")
    assert all(part > 1 - MOSTLY for part in memory(subject, domid_of(life)))
    life.stop()


def test_the_state_says_that_xen_does_not_tell(subject: ClassicSubject) -> None:
    life = started(subject, vm_of(subject))
    state = subject.backend.vm.get_state(life.vm)
    assert (state.numa_optimised, state.numa_nodes, state.numa_node_memory) == (False, -1, ())
    assert subject.backend.host.stat().cpu_info.nr_nodes == 2
    life.stop()
