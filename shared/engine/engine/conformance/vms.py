"""What every backend must do with VMs, from the walk-through's promise to suspend and resume."""
# ruff: noqa: S101  it is a test suite, shipped

import time
from functools import partial

import pytest
from schema.atomics.vm import DomainAction, RenameWhen, ShutdownRequest
from schema.ids import VmId
from schema.objects.errors import AlreadyExists, DoesNotExist, DomainNotBuilt, InvalidVcpus
from schema.objects.halted import HALTED_VM
from schema.objects.vm import PowerState, VmState

from engine.backend import CreateOptions, Devices
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import Life, Subject, make_life, refusal


def _state(life: Life) -> VmState:
    return life.subject.backend.vm.get_state(life.vm)


class VmConformance:
    """The VM itself."""

    def test_a_vm_never_started_is_halted(self, subject: Subject) -> None:
        """It shows nothing else, and a domain that is not there asks for its poweroff."""
        vm = subject.make_vm()
        assert subject.backend.vm.get_state(vm) == HALTED_VM
        assert subject.backend.vm.get_domain_action_request(vm) is DomainAction.POWEROFF

    def test_a_start_keeps_the_promise_of_the_walk_through(self, subject: Subject) -> None:
        """One domain, a console, a start time, targets; all devices active and plugged."""
        life = make_life(subject)
        before = time.time()
        life.start()
        state = _state(life)
        assert state.power_state is PowerState.PAUSED
        assert len(state.domids) == 1
        assert state.consoles
        assert before - 1 <= state.last_start_time <= time.time() + 1
        assert life.vm.memory_dynamic_min <= state.memory_target <= life.vm.memory_static_max
        assert state.vcpu_target == life.vm.vcpus
        assert subject.backend.vm.get_domain_action_request(life.vm) is None
        for vbd in life.devices.vbds:
            disk = subject.backend.vbd.get_state(life.id, vbd)
            assert (disk.active, disk.plugged) == (True, True)
        for vif in life.devices.vifs:
            interface = subject.backend.vif.get_state(life.id, vif)
            assert (interface.active, interface.plugged) == (True, True)

    def test_every_step_of_a_start_may_be_repeated(self, subject: Subject) -> None:
        """Asked again for what is already so, a verb does nothing and succeeds."""
        life = make_life(subject)
        for step in life.start_steps():
            step(SuiteExecution())
            first = _state(life)
            step(SuiteExecution())
            assert _state(life).domids == first.domids
            assert _state(life).power_state is first.power_state

    def test_every_step_of_a_stop_may_be_repeated(self, subject: Subject) -> None:
        """And a stopped VM is like one that never started."""
        life = make_life(subject)
        life.start()
        for step in life.stop_steps():
            step(SuiteExecution())
            step(SuiteExecution())
        assert _state(life) == HALTED_VM
        vbd, vif = life.devices.vbds[0], life.devices.vifs[0]
        assert not subject.backend.vbd.get_state(life.id, vbd).plugged
        assert not subject.backend.vif.get_state(life.id, vif).plugged

    def test_stopping_what_never_started_succeeds(self, subject: Subject) -> None:
        """There is nothing to do."""
        life = make_life(subject)
        life.stop()
        assert _state(life) == HALTED_VM

    def test_a_stopped_vm_starts_again_in_another_domain(self, subject: Subject) -> None:
        """Numbers of domains are not used twice."""
        life = make_life(subject)
        life.start()
        first = _state(life).domids
        life.stop()
        life.start()
        assert _state(life).domids != first

    def test_a_built_domain_is_not_created_again(self, subject: Subject) -> None:
        """That would be another VM's life."""
        life = make_life(subject)
        life.start()
        error = refusal(
            lambda: subject.backend.vm.create(SuiteExecution(), life.vm, life.devices, CreateOptions())
        )
        assert error == AlreadyExists(klass="domain", id=life.vm.id)
        assert _state(life).power_state is PowerState.PAUSED

    def test_a_domain_that_is_being_started_says_what_becomes_of_it_if_nobody_goes_on(
        self, subject: Subject
    ) -> None:
        """It is ended, as the original has it on Xen; the simulator's begins anew."""
        life = make_life(subject)
        create, *_, tell = life.start_steps()
        create(SuiteExecution())
        assert subject.backend.vm.get_domain_action_request(life.vm) is subject.asks_at_first
        tell(SuiteExecution())
        assert subject.backend.vm.get_domain_action_request(life.vm) is None

    def test_pause_and_unpause_are_seen_and_may_be_repeated(self, subject: Subject) -> None:
        """Paused, Running, Paused again; and one that was paused twice runs when it is told to once."""
        life = make_life(subject)
        life.start()
        verbs = subject.backend.vm
        for _ in range(2):
            verbs.unpause(SuiteExecution(), life.vm)
            assert _state(life).power_state is PowerState.RUNNING
        for _ in range(2):
            verbs.pause(SuiteExecution(), life.vm)
            assert _state(life).power_state is PowerState.PAUSED
        verbs.unpause(SuiteExecution(), life.vm)
        assert _state(life).power_state is PowerState.RUNNING

    def test_a_vm_without_a_domain_cannot_run(self, subject: Subject) -> None:
        """Every verb that needs a domain says that there is none."""
        vm = subject.make_vm()
        verbs, nothing = subject.backend.vm, Devices()
        missing = DoesNotExist(klass="domain", id=vm.id)
        assert refusal(lambda: verbs.build(SuiteExecution(), vm, nothing, force=False)) == missing
        assert refusal(lambda: verbs.pause(SuiteExecution(), vm)) == missing
        assert refusal(lambda: verbs.unpause(SuiteExecution(), vm)) == missing
        assert refusal(lambda: verbs.assert_can_save(vm)) == missing
        halt = ShutdownRequest.HALT
        assert refusal(lambda: verbs.request_shutdown(SuiteExecution(), vm, halt, 1.0)) == missing

    def test_a_domain_that_is_not_built_cannot_run(self, subject: Subject) -> None:
        """It has no kernel yet."""
        life = make_life(subject)
        life.start_steps()[0](SuiteExecution())
        error = refusal(lambda: subject.backend.vm.unpause(SuiteExecution(), life.vm))
        assert error == DomainNotBuilt()

    def test_vcpus_change_within_their_limits(self, subject: Subject) -> None:
        """Outside 1..max is refused with the maximum."""
        subject.needs("VM.set_vcpus")
        life = make_life(subject)
        life.start()
        verbs, maximum = subject.backend.vm, life.vm.vcpu_max
        for count in (0, maximum + 1):
            error = refusal(partial(verbs.set_vcpus, SuiteExecution(), life.vm, count))
            assert error == InvalidVcpus(count=maximum)
        for _ in range(2):
            verbs.set_vcpus(SuiteExecution(), life.vm, 1)
            assert _state(life).vcpu_target == 1

    def test_memory_follows_its_range(self, subject: Subject) -> None:
        """The target is within what was set last."""
        subject.needs("VM.set_memory_dynamic_range")
        life = make_life(subject)
        life.start()
        half = life.vm.memory_static_max // 2
        for _ in range(2):
            subject.backend.vm.set_memory_dynamic_range(SuiteExecution(), life.vm, half, half)
            assert _state(life).memory_target == half

    def test_a_guest_that_is_asked_to_shut_down_ends(self, subject: Subject) -> None:
        """It acknowledges, ends, and its domain asks for the poweroff."""
        subject.needs("VM.request_shutdown")
        if not subject.guest_shuts_down:
            pytest.skip("its guests do not listen")
        life = make_life(subject)
        life.start()
        verbs, patience_s = subject.backend.vm, subject.patience_s
        verbs.unpause(SuiteExecution(), life.vm)
        assert verbs.request_shutdown(SuiteExecution(), life.vm, ShutdownRequest.HALT, patience_s)
        assert verbs.wait_shutdown(SuiteExecution(), life.vm, ShutdownRequest.HALT, patience_s)
        assert verbs.get_domain_action_request(life.vm) is DomainAction.POWEROFF

    def test_renamed_and_renamed_back_a_vm_runs_on(self, subject: Subject) -> None:
        """Its domain and devices go by the other id meanwhile."""
        subject.needs("VM.rename")
        life = make_life(subject)
        life.start()
        name = VmId(subject.make_vm().id)
        before = _state(life)
        subject.backend.vm.rename(life.id, name, RenameWhen.PRE_MIGRATION)
        subject.backend.vm.rename(life.id, name, RenameWhen.PRE_MIGRATION)
        other = life.vm.model_copy(update={"id": name})
        assert subject.backend.vm.get_state(other).domids == before.domids
        assert _state(life) == HALTED_VM
        subject.backend.vm.rename(name, life.id, RenameWhen.POST_MIGRATION)
        assert _state(life).domids == before.domids
        vbd = life.devices.vbds[0]
        assert subject.backend.vbd.get_state(life.id, vbd).plugged

    def test_one_vm_does_not_disturb_another(self, subject: Subject) -> None:
        """Each has its own domain; stopping one leaves the other."""
        one, two = make_life(subject), make_life(subject)
        one.start()
        two.start()
        before = _state(two)
        assert set(_state(one).domids).isdisjoint(before.domids)
        one.stop()
        assert _state(two) == before

    def test_adding_and_removing_may_be_repeated(self, subject: Subject) -> None:
        """A client pushes its metadata again and again."""
        vm = subject.make_vm()
        for _ in range(2):
            subject.backend.vm.add(vm)
        for _ in range(2):
            subject.backend.vm.remove(vm)

    def test_adding_a_running_vm_leaves_it_alone(self, subject: Subject) -> None:
        """Xapi adds each VM before each operation."""
        life = make_life(subject)
        life.start()
        before = _state(life)
        subject.backend.vm.add(life.vm)
        assert _state(life) == before
