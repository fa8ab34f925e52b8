"""Guests as PVH on classic: up by tables of our own, at rest in an image, and moving while they run."""

from collections.abc import Iterator

import pytest
from classic_subject import ClassicSubject
from engine.conformance import SuiteExecution
from engine.conformance.subject import make_life
from leftovers import nothing_left
from schema.objects.vm import DomainType, Pvh
from xen_guests import await_words
from xen_lives import Shell, ends_when_asked, moves, rests


@pytest.fixture(name="subject", scope="module")
def make_subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClassicSubject]:
    with nothing_left():
        subject = ClassicSubject(tmp_path_factory.mktemp("pvh"), Pvh)
        yield subject
        subject.end()


def test_a_pvh_guest_rests_and_moves_while_it_runs(subject: ClassicSubject) -> None:
    """Its disk and its interface are there throughout, and all its vCPUs."""
    life = make_life(subject)
    life.start()
    subject.let_boot(life.vm)
    state = subject.backend.vm.get_state(life.vm)
    assert state.domain_type is DomainType.DOMAIN_PVH
    shell = Shell(subject, life.vm)
    subject.backend.vm.set_vcpus(SuiteExecution(), life.vm, 2)
    shell = Shell(subject, life.vm)
    shell.tell("until [ -d /sys/devices/system/cpu/cpu1 ]; do sleep 0.1; done; kept=well; echo all is $kept")
    await_words(life.vm.id, "all is well")
    rests(subject, life)
    shell.tell("echo after the rest kept $kept; cat /sys/class/net/eth0/address")
    await_words(life.vm.id, "after the rest kept well")
    moves(subject, life, live=True)
    shell.tell("echo after the journey kept $kept; cat /sys/block/xvda/size")
    await_words(life.vm.id, "after the journey kept well")
    ends_when_asked(subject, life.vm)
    life.stop()
