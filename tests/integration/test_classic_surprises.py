"""Surprises for backend classic: no xenstored, and what is left of a domain, which Xen lists for a while."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from domains_in_hand import first_number
from engine.backend import Devices
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import Life, make_life, refusal
from schema.atomics.vm import ShutdownRequest
from schema.fault import XenopsError
from schema.objects.errors import InternalError
from schema.objects.halted import HALTED_VM
from schema.objects.vm import PowerState
from stack.xenstored import PrivateXenstored
from test_classic_conformance import ClassicSubject
from worker_xen.classic.machine import uuid_of
from worker_xen.classic.nature import nature_of
from worker_xen.libxc.values import ShutdownReason


@pytest.fixture(name="daemon", params=("xenstored", "oxenstored"))
def run_daemon(request: pytest.FixtureRequest) -> Iterator[PrivateXenstored]:
    directory = Path(tempfile.mkdtemp(prefix="xs-"))
    with PrivateXenstored(directory, request.param) as daemon:
        yield daemon
    shutil.rmtree(directory)


@pytest.fixture(name="subject")
def make_subject(daemon: PrivateXenstored, tmp_path: Path) -> Iterator[ClassicSubject]:
    subject = ClassicSubject(tmp_path, daemon.socket)
    yield subject
    subject.backend.stop()
    subject.host.end()


def words_of(call: Callable[[], object]) -> str:
    error = refusal(call)
    assert isinstance(error, InternalError)
    return error.message


def test_without_xenstored_verbs_fail_in_words_and_a_vm_can_be_ended_once_it_is_back(
    subject: ClassicSubject, daemon: PrivateXenstored
) -> None:
    life, verbs = make_life(subject), subject.backend.vm
    life.start()
    subject.let_boot(life.vm)
    daemon.kill()
    for call in (
        lambda: verbs.get_state(life.vm),
        lambda: verbs.set_vcpus(SuiteExecution(), life.vm, 2),
        lambda: verbs.request_shutdown(SuiteExecution(), life.vm, ShutdownRequest.HALT, 60.0),
        lambda: verbs.save(SuiteExecution(), life.vm, subject.make_image(), live=False),
        lambda: subject.backend.vbd.deactivate(SuiteExecution(), life.id, life.devices.vbds[0], force=True),
        lambda: subject.backend.vif.unplug(SuiteExecution(), life.id, life.devices.vifs[0], force=True),
    ):
        assert "see that it runs" in words_of(call)
    verbs.pause(SuiteExecution(), life.vm)
    assert subject.host.found[first_number()].is_paused
    daemon.start()
    assert verbs.get_state(life.vm).power_state is PowerState.PAUSED
    life.stop()
    assert verbs.get_state(life.vm) == HALTED_VM
    assert list(subject.host.found) == [0]


def go_on(life: Life, done: int) -> None:
    """With its start, and look at it."""
    for step in life.start_steps()[done:]:
        step(SuiteExecution())
    life.subject.backend.vm.get_state(life.vm)


def test_a_start_that_xenstored_goes_away_in_leaves_what_can_be_stopped_and_started_again(
    subject: ClassicSubject, daemon: PrivateXenstored
) -> None:
    """After each of its steps."""
    steps = len(make_life(subject).start_steps())
    for done in range(steps):
        life = make_life(subject)
        for step in life.start_steps()[:done]:
            step(SuiteExecution())
        daemon.kill()
        with pytest.raises(XenopsError, match="see that it runs"):
            go_on(life, done)
        daemon.start()
        life.stop()
        life.start()
        life.stop()
        assert list(subject.host.found) == [0]


def test_changes_are_heard_again_once_xenstored_is_back(
    subject: ClassicSubject, daemon: PrivateXenstored
) -> None:
    daemon.kill()
    daemon.start()
    life = Life(subject, subject.make_vm(), Devices())
    life.start()
    subject.changed.clear()
    subject.backend.vm.unpause(SuiteExecution(), life.vm)
    while not subject.changed:
        subject.host.stop(subject.backend.vm.get_state(life.vm).domids[0], ShutdownReason.CRASH)
    life.stop()


def test_what_is_left_of_a_domain_that_is_dying_keeps_no_vm_from_starting(subject: ClassicSubject) -> None:
    """Xen lists it until the drivers of dom0 have let go of its memory."""
    life = make_life(subject)
    before = subject.host.create(uuid_of(life.vm.id), nature_of(life.vm))
    subject.host.found[before] = replace(subject.host.found[before], is_dying=True)
    life.start()
    assert len(subject.backend.vm.get_state(life.vm).domids) == 1
    life.stop()
