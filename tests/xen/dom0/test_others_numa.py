"""CPUs and NUMA nodes by libxl and libvirt, on a host with two of a processor each.

Where the memory is, is libxl's and Xen's to say.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import xen_libvirtd
from engine.conformance.subject import refusal
from leftovers import nothing_left
from libvirt_subject import LibvirtSubject
from nodes import affinity, roomiest, started, vm_of
from schema.objects.errors import Unimplemented
from schema.objects.host import NumaAffinityPolicy
from xenlight_subject import XenlightSubject


@pytest.fixture(name="xenlight")
def make_xenlight(tmp_path: Path) -> Iterator[XenlightSubject]:
    with nothing_left():
        subject = XenlightSubject(tmp_path)
        yield subject
        subject.end()


@pytest.fixture(name="libvirt")
def make_libvirt(tmp_path: Path) -> Iterator[LibvirtSubject]:
    xen_libvirtd.start()
    with nothing_left():
        subject = LibvirtSubject(tmp_path)
        yield subject
        subject.end()


def test_by_libxl_a_guest_that_its_owner_has_bound_runs_where_he_wants_it(xenlight: XenlightSubject) -> None:
    other = 1 - roomiest()
    life = started(xenlight, vm_of(xenlight, other, 7))
    assert affinity(life) == (str(other), "all")
    life.stop()


def test_libxl_chooses_a_node_unless_it_is_told_not_to(xenlight: XenlightSubject) -> None:
    verbs = xenlight.backend.host
    life = started(xenlight, vm_of(xenlight))
    assert affinity(life)[1] in {"0", "1"}
    life.stop()
    verbs.set_numa_affinity_policy(NumaAffinityPolicy.ANY)
    life = started(xenlight, vm_of(xenlight))
    assert affinity(life) == ("all", "all")
    life.stop()
    error = refusal(lambda: verbs.set_numa_affinity_policy(NumaAffinityPolicy.BEST_EFFORT_HARD))
    assert error == Unimplemented(what="HOST.set_numa_affinity_policy to Best_effort_hard")


def test_by_libvirt_a_guest_that_its_owner_has_bound_runs_where_he_wants_it(libvirt: LibvirtSubject) -> None:
    life = started(libvirt, vm_of(libvirt, 1, 7))
    assert affinity(life)[0] == "1"
    life.stop()
