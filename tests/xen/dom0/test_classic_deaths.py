"""A worker on classic is killed with SIGKILL between any two things that it does; the next one ends the VM.

The worker is a process of its own, forked; hypervisor, xenstored, drivers and guests are real, and live on.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from classic_subject import ClassicSubject
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life, Step, make_life
from leftovers import await_no_more_than, nothing_left, of_domains
from mortal import Death, let_die
from schema.atomics.vm import DomainAction
from schema.objects.disk import LocalDisk
from schema.objects.halted import HALTED_VM
from schema.objects.vm import PowerState
from strangers import keep_stranger

__all__ = ["keep_stranger"]

pytestmark = pytest.mark.usefixtures("stranger")

EVERY = int(os.environ.get("XENOPS_TEST_XEN_EVERY", "1"))
"""Death comes at each so many-th point only."""


@pytest.fixture(name="subject")
def make_subject(tmp_path: Path) -> Iterator[ClassicSubject]:
    with nothing_left():
        subject = ClassicSubject(tmp_path)
        yield subject
        subject.end()


def dies(subject: ClassicSubject, steps: Callable[[], list[Step]], at: int) -> bool:
    """Do steps in a process that is killed at a point; answers whether it was, and not at its end."""
    subject.backend.stop()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            subject.open()
            let_die(subject.backend, Death(at, lambda: os.kill(os.getpid(), signal.SIGKILL)))
            for step in steps():
                step(SuiteExecution())
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    subject.open()
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "a step has failed"
    return os.WIFSIGNALED(status)


def test_killed_while_it_starts_a_vm(subject: ClassicSubject) -> None:
    """What there is of it can be shut down, and started again; nothing is left."""
    before, at, came = of_domains(), 1, True
    while came:
        life = make_life(subject)
        came = dies(subject, life.start_steps, at)
        life.stop()
        assert subject.backend.vm.get_state(life.vm) == HALTED_VM
        await_no_more_than(before)
        at += EVERY
    assert at > 30, "hardly anything was done"
    life = make_life(subject)
    life.start()
    assert subject.backend.vm.get_state(life.vm).power_state is PowerState.PAUSED
    life.stop()


def test_killed_while_it_stops_a_vm(subject: ClassicSubject) -> None:
    """The next one goes on; nothing is left."""
    before, at, came = of_domains(), 1, True
    while came:
        life = make_life(subject)
        life.start()
        came = dies(subject, life.stop_steps, at)
        life.stop()
        assert subject.backend.vm.get_state(life.vm) == HALTED_VM
        await_no_more_than(before)
        at += EVERY
    assert at > 10, "hardly anything was done"


def suspending(subject: ClassicSubject, life: Life, image: LocalDisk) -> Callable[[], list[Step]]:
    return lambda: [lambda task: subject.backend.vm.save(task, life.vm, image, live=False)]


def test_killed_while_it_saves_a_vm(subject: ClassicSubject) -> None:
    """The guest runs on, and nothing is left of its image, or it is there as a whole."""
    before, at, came = of_domains(), 1, True
    while came:
        life = make_life(subject)
        life.start()
        subject.let_boot(life.vm)
        image = subject.guests.image()
        came = dies(subject, suspending(subject, life, image), at)
        assert not Path(f"{image.path}.partial").exists()
        state = subject.backend.vm.get_state(life.vm).power_state
        if state is PowerState.RUNNING:
            assert subject.backend.vm.get_domain_action_request(life.vm) is None
        else:
            assert state is PowerState.SUSPENDED
            assert subject.backend.vm.get_domain_action_request(life.vm) is DomainAction.SUSPEND
        life.stop()
        subject.backend.vm.remove(life.vm)
        await_no_more_than(before)
        at += EVERY
    assert at > 2, "hardly anything was done"
