"""What every backend must do to suspend a VM and to resume it."""
# ruff: noqa: S101  it is a test suite, shipped

from schema.fault import XenopsError
from schema.objects.disk import Disk
from schema.objects.errors import Cancelled, InternalError
from schema.objects.vm import PowerState, VmState

from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import Life, Subject, make_life, refusal


def _state(life: Life) -> VmState:
    return life.subject.backend.vm.get_state(life.vm)


def _is_cancelled(task: SuiteExecution, life: Life, image: Disk) -> bool:
    """Save in a task; answers whether that was cancelled."""
    try:
        life.subject.backend.vm.save(task, life.vm, image, live=False)
    except XenopsError as error:
        assert isinstance(error.error, Cancelled)  # noqa: PT017  how it ends is the question
        return True
    return False


class SuspendConformance:
    """Save, restore and resume."""

    def test_a_suspended_vm_resumes_in_another_domain(self, subject: Subject) -> None:
        """Suspended while it has none; then paused, with all its devices, as it was."""
        subject.needs("VM.save", "VM.restore")
        life, image = make_life(subject, of_each=2), subject.make_image()
        life.start()
        subject.let_boot(life.vm)
        verbs = subject.backend.vm
        verbs.assert_can_save(life.vm)
        task = SuiteExecution()
        verbs.save(task, life.vm, image, live=False)
        assert task.fractions == sorted(task.fractions)
        for _ in range(2):
            life.stop()
            assert _state(life).power_state is PowerState.SUSPENDED
        create, restore, *others = life.resume_steps(image)
        for step in (create, restore, restore, *others):
            step(SuiteExecution())
        assert life.is_as_started()
        assert len(_state(life).domids) == 1

    def test_a_save_that_is_cancelled_at_any_point_does_no_harm(self, subject: Subject) -> None:
        """The VM runs on in its domain."""
        subject.needs("VM.save")
        life, image = make_life(subject), subject.make_image()
        life.start()
        subject.let_boot(life.vm)
        before = _state(life)
        point = 1
        while _is_cancelled(SuiteExecution(cancel_at=point), life, image):
            assert _state(life).power_state is before.power_state
            assert _state(life).domids == before.domids
            point += 1
        assert _state(life).power_state is PowerState.SUSPENDED

    def test_a_saved_vm_may_go_on_in_its_domain(self, subject: Subject) -> None:
        """As after a checkpoint, or a migration that failed."""
        subject.needs("VM.save", "VM.resume")
        life = make_life(subject)
        life.start()
        subject.let_boot(life.vm)
        domids = _state(life).domids
        subject.backend.vm.save(SuiteExecution(), life.vm, subject.make_image(), live=False)
        for _ in range(2):
            subject.backend.vm.resume(SuiteExecution(), life.vm)
            assert _state(life).power_state is PowerState.RUNNING
            assert (_state(life).domids == domids) == subject.keeps_domid

    def test_without_an_image_there_is_nothing_to_resume(self, subject: Subject) -> None:
        """The error says so, and the VM can be shut down."""
        subject.needs("VM.restore")
        life, image = make_life(subject), subject.make_image()
        life.start_steps()[0](SuiteExecution())
        error = refusal(lambda: subject.backend.vm.restore(SuiteExecution(), life.vm, life.devices, image))
        assert isinstance(error, InternalError)
        life.stop()
        assert _state(life).power_state is PowerState.HALTED
