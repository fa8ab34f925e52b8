"""A worker on libvirt that dies before or after anything that it has libvirt do leaves a VM that one can use.

libvirtd and its domains live on, and so does what was noted: as after kill -9.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine.backend import CreateOptions
from engine.conformance import Subject, SuiteExecution
from engine.conformance.subject import Life, Step, make_life
from kvm_subject import GUEST
from schema.objects.halted import HALTED_VM
from schema.objects.vm import PowerState
from stack.libvirtd import LibvirtDaemon
from test_libvirt_conformance import make_directory, run_daemon, subject_of

__all__ = ["make_directory", "run_daemon"]

DOES = frozenset(
    {
        *("create", "destroy", "suspend", "resume", "save", "restore"),
        *("attach", "detach", "update", "set_memory", "set_throttle"),
    }
)
"""What changes libvirt's world."""


class DiedError(BaseException):
    """The process is no more, and no handler of it runs."""


class Mortal:
    """Stands before the connection to libvirt; dies before or after the n-th thing that is done by it."""

    def __init__(self, inner: object, at: int) -> None:
        self._inner = inner
        self._left = at
        self.died = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in DOES:
            return found

        def act(*arguments: Any, **named: Any) -> Any:
            self._pass_by()
            done = found(*arguments, **named)
            self._pass_by()
            return done

        return act

    def _pass_by(self) -> None:
        self._left -= 1
        if self.died or self._left == 0:
            self.died = True
            raise DiedError


@pytest.fixture(name="subject")
def make_subject(daemon: LibvirtDaemon, disks: Path) -> Iterator[Subject]:
    yield from subject_of(GUEST.builder(), daemon, disks)


def dies(subject: Subject, steps: Callable[[], list[Step]], at: int) -> bool:
    """Do steps until death comes, and be started anew; answers whether it came."""
    backend: Any = subject.backend
    hypervisor = backend._hypervisor
    whole, hypervisor.virt = hypervisor.virt, Mortal(hypervisor.virt, at)
    try:
        for step in steps():
            step(SuiteExecution())
    except DiedError:
        pass
    died = hypervisor.virt.died
    hypervisor.virt = whole
    subject.reopen()
    return bool(died)


def domains(daemon: LibvirtDaemon) -> int:
    client = daemon.client()
    found = len(client.domains())
    client.close()
    return found


def ends(subject: Subject, daemon: LibvirtDaemon, life: Life) -> None:
    """It can be shut down, and then there is nothing of it."""
    life.stop()
    assert subject.backend.vm.get_state(life.vm).power_state in {PowerState.HALTED, PowerState.SUSPENDED}
    subject.backend.vm.remove(life.vm)
    assert subject.backend.vm.get_state(life.vm) == HALTED_VM
    assert domains(daemon) == 0


def test_one_that_dies_while_it_starts_a_vm_can_start_and_stop_it(
    subject: Subject, daemon: LibvirtDaemon
) -> None:
    at, came = 1, True
    while came:
        life = make_life(subject)
        came = dies(subject, life.start_steps, at)
        if came:
            life.stop()
            assert domains(daemon) == 0
            life.start()
        assert subject.backend.vm.get_state(life.vm).power_state is PowerState.PAUSED
        came = dies(subject, life.stop_steps, at) or came
        ends(subject, daemon, life)
        at += 1
    assert at > 3, "hardly anything was done"


def test_one_that_dies_while_it_suspends_or_resumes_a_vm_has_it_on_one_side(
    subject: Subject, daemon: LibvirtDaemon
) -> None:
    at, came = 1, True
    while came:
        life, image = make_life(subject), subject.make_image()
        life.start()
        vm = subject.backend.vm
        vm.unpause(SuiteExecution(), life.vm)
        came = dies(subject, lambda: [lambda task: vm.save(task, life.vm, image, live=False)], at)  # noqa: B023
        vm = subject.backend.vm
        state = vm.get_state(life.vm).power_state
        assert state in {PowerState.RUNNING, PowerState.SUSPENDED}
        assert domains(daemon) == (state is PowerState.RUNNING)
        if state is PowerState.SUSPENDED:
            vm.destroy(SuiteExecution(), life.vm)

            def restoring(life: Life = life, image: Any = image) -> list[Step]:
                vm = subject.backend.vm
                return [
                    lambda task: vm.create(task, life.vm, life.devices, CreateOptions()),
                    lambda task: vm.restore(task, life.vm, life.devices, image),
                ]

            came = dies(subject, restoring, at) or came
        ends(subject, daemon, life)
        at += 1
    assert at > 3, "hardly anything was done"
