"""What every backend must be after something went wrong: a cancelled start, a worker that died."""
# ruff: noqa: S101  it is a test suite, shipped

from schema.fault import XenopsError
from schema.objects.errors import Cancelled, Unimplemented
from schema.objects.halted import HALTED_VM

from engine.conformance.calls import CALLS
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import Step, Subject, make_life, refusal


def _ends_well(step: Step, task: SuiteExecution) -> bool:
    """Do a step in a task; answers whether that was not cancelled."""
    try:
        step(task)
    except XenopsError as error:
        assert isinstance(error.error, Cancelled)  # noqa: PT017  how it ends is the question
        return False
    return True


class RecoveryConformance:
    """After a failure a VM can be shut down, a restarted worker finds what runs, what is not done is told."""

    def test_a_start_broken_off_after_any_step_can_be_shut_down(self, subject: Subject) -> None:
        """Nothing of it is left."""
        count = len(make_life(subject).start_steps())
        for length in range(count + 1):
            life = make_life(subject)
            for step in life.start_steps()[:length]:
                step(SuiteExecution())
            life.stop()
            assert subject.backend.vm.get_state(life.vm) == HALTED_VM

    def test_a_start_cancelled_at_any_point_can_be_shut_down(self, subject: Subject) -> None:
        """Whichever verb stops at its cancel points."""
        done, point = False, 1
        while not done:
            life, task = make_life(subject), SuiteExecution(cancel_at=point)
            done = all(_ends_well(step, task) for step in life.start_steps())
            life.stop()
            assert subject.backend.vm.get_state(life.vm) == HALTED_VM
            point += 1

    def test_a_restarted_worker_finds_what_runs(self, subject: Subject) -> None:
        """And can shut it down."""
        subject.needs("restart")
        life = make_life(subject)
        life.start()
        before = subject.backend.vm.get_state(life.vm)
        subject.reopen()
        assert subject.backend.vm.get_state(life.vm) == before
        assert subject.backend.vbd.get_state(life.id, life.devices.vbds[0]).plugged
        life.stop()
        assert subject.backend.vm.get_state(life.vm) == HALTED_VM

    def test_an_unknown_trigger_is_told(self, subject: Subject) -> None:
        """By its name, as in the original."""
        assert refusal(lambda: subject.backend.trigger("nonesuch", ())) == Unimplemented(what="nonesuch")

    def test_verbs_that_are_not_supported_say_so_and_no_others(self, subject: Subject) -> None:
        """Every other one is done, or refused for a better reason."""
        found = set()
        life = make_life(subject)
        life.start()
        for verb in sorted(CALLS):
            if not life.is_as_started():
                life.stop()
                life = make_life(subject)
                life.start()
            try:
                CALLS[verb](subject, life)
            except XenopsError as error:
                if isinstance(error.error, Unimplemented):
                    found.add(verb)
        life.stop()
        assert found == subject.unsupported & CALLS.keys()
