"""Classic in dom0 whose xenstored stands still or is gone: all is told in words, and guests live on."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from classic_subject import ClassicSubject
from engine.backend import Devices
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life, make_life, refusal
from leftovers import await_no_more_than, of_domains
from schema.atomics.vm import ShutdownRequest
from schema.objects.errors import InternalError
from schema.objects.halted import HALTED_VM
from schema.objects.vm import PowerState
from worker_xen.classic.machine import uuid_of
from xen_guests import PATIENCE_S, await_words
from xen_lives import Shell, ends_when_asked

PID = Path("/run/xen/xenstored.pid")
DAEMONS = Path("/usr/lib/xen-4.17/bin")


@pytest.fixture(name="subject")
def make_subject(tmp_path: Path) -> Iterator[ClassicSubject]:
    subject = ClassicSubject(tmp_path)
    yield subject
    subject.end()


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def start_xenstored() -> None:
    """Anew, and empty; it comes back before it listens."""
    PID.unlink()
    subprocess.run([DAEMONS / "xenstored", "--pid-file", PID], check=True)
    end = time.monotonic() + PATIENCE_S
    while subprocess.run(["xenstore-exists", "/"], capture_output=True, check=False).returncode:
        assert time.monotonic() < end, "it does not answer"


def assert_told_in_words(subject: ClassicSubject, life: Life, words: str) -> Life:
    """By every kind of verb; the hypervisor itself, which needs no xenstored, still has the guest.

    Answers one whose start has failed so.
    """
    verbs, another = subject.backend.vm, make_life(subject)
    calls: tuple[Callable[[], object], ...] = (
        lambda: verbs.get_state(life.vm),
        lambda: verbs.request_shutdown(SuiteExecution(), life.vm, ShutdownRequest.HALT, 60.0),
        lambda: verbs.save(SuiteExecution(), life.vm, subject.make_image(), live=False),
        lambda: subject.backend.vif.unplug(SuiteExecution(), life.id, life.devices.vifs[0], force=True),
        another.start,
    )
    for call in calls:
        error = refusal(call)
        assert isinstance(error, InternalError)
        assert words in error.message
    assert_runs(subject, life)
    return another


def assert_runs(subject: ClassicSubject, life: Life) -> None:
    domains = subject.backend._hypervisor.xen.domains()
    [found] = [domain for domain in domains if domain.uuid == uuid_of(life.id)]
    assert found.stopped is None


def test_while_xenstored_stands_still_nothing_hangs_and_nothing_is_lost(subject: ClassicSubject) -> None:
    before = of_domains()
    life = make_life(subject)
    life.start()
    subject.let_boot(life.vm)
    state = subject.backend.vm.get_state(life.vm)
    with standing_still(int(PID.read_text())):
        another = assert_told_in_words(subject, life, "xenstored")
    assert subject.backend.vm.get_state(life.vm) == state
    Shell(subject, life.vm).tell("echo still $((40 + 2))")
    await_words(life.vm.id, "still 42")
    ends_when_asked(subject, life.vm)
    life.stop()
    another.stop()
    another.start()
    another.stop()
    await_no_more_than(before)


def test_guests_outlive_xenstored_and_can_be_ended_once_there_is_another(subject: ClassicSubject) -> None:
    """The last one here: dom0's kernel finds no other xenstored, so its drivers hold what they have."""
    life, bare, verbs = make_life(subject), Life(subject, subject.vm(), Devices()), subject.backend.vm
    for each in (life, bare):
        each.start()
        subject.let_boot(each.vm)
    os.kill(int(PID.read_text()), signal.SIGKILL)
    another = assert_told_in_words(subject, life, "see that it runs")
    start_xenstored()
    for each in (life, bare):
        assert verbs.get_state(each.vm).power_state is PowerState.RUNNING
        assert_runs(subject, each)
    for each in (bare, another):
        each.stop()
        assert verbs.get_state(each.vm) == HALTED_VM
    error = refusal(life.stop)
    assert isinstance(error, InternalError)
    assert "does not let it go" in error.message
    verbs.destroy(SuiteExecution(), life.vm)
    assert verbs.get_state(life.vm) == HALTED_VM
