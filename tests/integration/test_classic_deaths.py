"""A worker on classic that dies between any two things that it does leaves a VM that can be shut down.

The hypervisor, the drivers and the guests live on, and so do xenstored and what was noted: as after kill -9.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import Life, Step, make_life
from hvm_in_hand import have_programs
from mortal import Death, let_die
from schema.objects.disk import LocalDisk
from schema.objects.halted import HALTED_VM
from schema.objects.vm import PowerState
from stack.xenstored import PrivateXenstored
from test_classic_conformance import ClassicHvmSubject, ClassicSubject, standing
from typing_extensions import override


class DiedError(BaseException):
    """The process is no more, and no handler of it runs."""


def end() -> None:
    raise DiedError


@pytest.fixture(name="subject")
def make_subject(tmp_path: Path) -> Iterator[ClassicSubject]:
    directory = Path(tempfile.mkdtemp(prefix="xs-"))
    with PrivateXenstored(directory, "xenstored") as daemon:
        subject = ClassicSubject(tmp_path, daemon.socket)
        yield subject
        subject.backend.stop()
        subject.host.end()
    shutil.rmtree(directory)


def dies(subject: ClassicSubject, steps: Callable[[], list[Step]], at: int) -> bool:
    """Do steps until death comes, and be started anew; answers whether it came."""
    death = Death(at, end)
    let_die(subject.backend, death)
    try:
        for step in steps():
            step(SuiteExecution())
    except DiedError:
        pass
    subject.reopen()
    return death.came


def nothing_is_left(subject: ClassicSubject) -> None:
    assert list(subject.host.found) == [0]
    assert not subject.host.devices
    store = subject.host.store
    assert [name for name in store.names("/local/domain") if name != "0"] == []
    assert store.names("/vm") == []
    for kind in ("vbd", "vif"):
        assert store.names(f"/local/domain/0/backend/{kind}") == []


def test_a_worker_that_dies_while_it_starts_a_vm_leaves_one_that_can_be_shut_down(
    subject: ClassicSubject,
) -> None:
    at, came = 1, True
    while came:
        life = make_life(subject)
        came = dies(subject, life.start_steps, at)
        life.stop()
        assert subject.backend.vm.get_state(life.vm) == HALTED_VM
        nothing_is_left(subject)
        at += 1
    assert at > 30, "hardly anything was done"


def test_a_worker_that_dies_while_it_starts_a_vm_can_start_it_once_it_was_shut_down(
    subject: ClassicSubject,
) -> None:
    for at in range(1, 40, 5):
        life = make_life(subject)
        dies(subject, life.start_steps, at)
        life.stop()
        life.start()
        assert subject.backend.vm.get_state(life.vm).power_state is PowerState.PAUSED
        life.stop()
        nothing_is_left(subject)


def test_a_worker_that_dies_while_it_stops_a_vm_can_stop_it_afterwards(subject: ClassicSubject) -> None:
    at, came = 1, True
    while came:
        life = make_life(subject)
        life.start()
        came = dies(subject, life.stop_steps, at)
        life.stop()
        assert subject.backend.vm.get_state(life.vm) == HALTED_VM
        nothing_is_left(subject)
        at += 1
    assert at > 10, "hardly anything was done"


def suspending(subject: ClassicSubject, life: Life) -> Callable[[], list[Step]]:
    image = subject.make_image()
    return lambda: [lambda task: subject.backend.vm.save(task, life.vm, image, live=False)]


def test_a_worker_that_dies_while_it_saves_a_vm_leaves_it_running_or_suspended(
    subject: ClassicSubject,
) -> None:
    at, came = 1, True
    while came:
        life = make_life(subject)
        life.start()
        subject.let_boot(life.vm)
        came = dies(subject, suspending(subject, life), at)
        wants = subject.backend.vm.get_domain_action_request(life.vm)  # first: its guest may answer meanwhile
        state = subject.backend.vm.get_state(life.vm).power_state
        assert state is PowerState.SUSPENDED or (state, wants) == (PowerState.RUNNING, None)
        life.stop()
        subject.backend.vm.remove(life.vm)
        nothing_is_left(subject)
        at += 1
    assert at > 2, "hardly anything was done"


def test_what_a_worker_that_died_had_written_of_an_image_goes_when_the_next_one_starts(
    subject: ClassicSubject, tmp_path: Path
) -> None:
    """Its handlers do not run, so the draft is where it was; that of a VM that was saved is noted no more."""
    life, draft, image = make_life(subject), tmp_path / "image.partial", subject.make_image()
    life.start()
    subject.let_boot(life.vm)
    noted: list[str | None] = []
    hypervisor = subject.backend._hypervisor  # type: ignore[attr-defined]

    class Killed(SuiteExecution):
        @override
        def forbid_cancel(self) -> None:
            noted.append(hypervisor.find(life.vm.id).machine.domain.drafting)
            super().forbid_cancel()

    subject.backend.vm.save(Killed(), life.vm, image, live=False)
    assert isinstance(image, LocalDisk)
    assert noted == [f"{image.path}.partial"]
    assert hypervisor.find(life.vm.id).machine.domain.drafting is None
    for exists in (True, False):
        draft.touch() if exists else draft.unlink(missing_ok=True)
        hypervisor.change(life.vm.id, lambda machine: machine.with_domain(drafting=str(draft)))
        subject.reopen()
        hypervisor = subject.backend._hypervisor  # type: ignore[attr-defined]
        assert hypervisor.find(life.vm.id).machine.domain.drafting is None
        assert not draft.exists()
        assert Path(image.path).exists()
    life.stop()
    nothing_is_left(subject)


def test_a_worker_that_dies_while_it_switches_hardware_on_leaves_a_guest_whose_start_ends_as_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again it tells where the guest's serial port is, whoever has started the device model."""
    have_programs(tmp_path, monkeypatch)
    with standing("xenstored", ClassicHvmSubject, tmp_path) as subject:
        at, came = 1, True
        while came:
            life = make_life(subject)
            *before, switch_on, _ = life.start_steps()
            for step in before:
                step(SuiteExecution())
            came = dies(subject, partial(list, [switch_on]), at)
            life.start_steps()[-2](SuiteExecution())
            (domid,) = subject.backend.vm.get_state(life.vm).domids
            assert subject.host.store.read(f"/local/domain/{domid}/serial/0/tty")
            life.stop()
            nothing_is_left(subject)
            at += 1
        assert at > 5, "hardly anything was done"
