"""Walk: a VM's life at random over the client, held against a model after every step.

Hypothesis chooses the steps, and makes a walk that fails short. Every rule asks for one thing, waits for its
end and tells the model; what must be refused is asked for, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ground import MEDIA, Ground
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from model import DRIVE, VCPUS_MAX, Device, Kind, Model
from schema.fault import XenopsError
from schema.ids import DeviceId
from schema.objects.disk import LocalDisk
from schema.objects.dynamic import VmObject
from schema.objects.errors import BadPowerState
from schema.objects.errors import Cancelled as CancelledError
from schema.objects.network import LocalNetwork
from schema.objects.vif import Disabled, Unlocked
from schema.objects.vm import PowerState
from typing_extensions import override
from xenops import wait_for_task
from xenops.calls.vm import Destination

HALTED, RUNNING, PAUSED = PowerState.HALTED, PowerState.RUNNING, PowerState.PAUSED
SUSPENDED = PowerState.SUSPENDED

TASK_S = 600.0
GUEST_S = 60.0
"""How long a task may take, and a guest that is asked to shut down."""

QUIET_S = 0.05


StepT = TypeVar("StepT", bound=Callable[..., None])


def when(*states: PowerState) -> Callable[[StepT], StepT]:
    """A rule for a VM in one of these states."""
    return precondition(lambda walk: walk.model.power in states)


def if_any(choose: Callable[[Model], list[Device]]) -> Callable[[StepT], StepT]:
    """A rule that needs a device; which one, is drawn."""
    return precondition(lambda walk: bool(choose(walk.model)))


class Walk(RuleBasedStateMachine):
    """One VM's life on a ground."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.ground, self.client, self.model = ground, ground.client, Model()
        self.vm = ground.fresh_name()
        self._steps = 0

    @initialize()
    def add(self) -> None:
        self._described = self.ground.describe(self.vm)
        self.client.vm.add(self._described.vm)
        for device in self.model.known:
            self._add(device)

    # --- power --------------------------------------------------------------------------------------

    @when(HALTED)
    @rule(run=st.booleans())
    def start(self, run: bool) -> None:  # noqa: FBT001  drawn
        self._do(self.client.vm.start(self.vm), is_news=True)
        self.model.began()
        if run:
            self.unpause()

    @when(PAUSED)
    @rule()
    def unpause(self) -> None:
        self._do(self.client.vm.unpause(self.vm), is_news=True)
        self.model.power = RUNNING
        self._assert_answers()

    @when(RUNNING)
    @rule()
    def pause(self) -> None:
        self._do(self.client.vm.pause(self.vm), is_news=True)
        self.model.power = PAUSED

    @when(RUNNING, PAUSED)
    @rule()
    def shut_down_by_force(self) -> None:
        self._do(self.client.vm.shutdown(self.vm), is_news=True)
        self.model.ended()

    @when(RUNNING)
    @rule()
    def shut_down(self) -> None:
        self._do(self.client.vm.shutdown(self.vm, GUEST_S), is_news=True)
        self.model.ended()

    @when(RUNNING)
    @rule()
    def reboot(self) -> None:
        self._do(self.client.vm.reboot(self.vm), is_news=True)
        self.model.rebooted()
        self._assert_answers()

    @when(RUNNING)
    @rule()
    def suspend(self) -> None:
        self._do(self.client.vm.suspend(self.vm, self._image), is_news=True)
        self.model.ended(SUSPENDED)

    @when(SUSPENDED)
    @rule(run=st.booleans())
    def resume(self, run: bool) -> None:  # noqa: FBT001  drawn
        self._do(self.client.vm.resume(self.vm, self._image), is_news=True)
        self.model.began()
        if run:
            self.unpause()

    @precondition(lambda walk: walk.ground.home is not None and walk.model.power is RUNNING)
    @rule()
    def move_within_its_host(self) -> None:
        there = Destination(self.ground.home or "", localhost=True)
        self._do(self.client.vm.migrate(self.vm, there), is_news=True)
        self.model.moved()
        self._assert_answers()

    @when(RUNNING)
    @rule()
    def add_vcpus(self) -> None:
        self._do(self.client.vm.set_vcpus(self.vm, VCPUS_MAX))
        self.model.vcpus = VCPUS_MAX

    @when(RUNNING)
    @rule(mib=st.sampled_from((96, 128)))
    def change_memory(self, mib: int) -> None:
        self._do(self.client.vm.set_memory_dynamic_range(self.vm, mib << 20, mib << 20))
        self._eventually(lambda: self._assert_target(mib << 20))

    def _assert_target(self, wanted: int) -> None:
        target = self.client.vm.stat(self.vm)[1].memory_target
        assert target == wanted, f"its memory shall be {target}, and not {wanted}"

    # --- what must be refused, and what is broken off --------------------------------------------------

    @when(RUNNING, PAUSED, SUSPENDED)
    @rule()
    def start_what_is_not_halted(self) -> None:
        self._refused(self.client.vm.start(self.vm))

    @when(RUNNING, PAUSED)
    @rule()
    def resume_what_is_not_suspended(self) -> None:
        self._refused(self.client.vm.resume(self.vm, self._image))

    @when(HALTED, SUSPENDED)
    @rule()
    def reboot_what_does_not_run(self) -> None:
        self._refused(self.client.vm.reboot(self.vm))

    @when(HALTED)
    @rule()
    def start_and_think_better_of_it(self) -> None:
        self._cancelled(self.client.vm.start(self.vm), PAUSED)

    @when(RUNNING)
    @rule()
    def suspend_and_think_better_of_it(self) -> None:
        self._cancelled(self.client.vm.suspend(self.vm, self._image), SUSPENDED)

    # --- devices ------------------------------------------------------------------------------------

    @if_any(Model.may_come)
    @rule(data=st.data())
    def add_device(self, data: st.DataObject) -> None:
        device = data.draw(st.sampled_from(self.model.may_come()), label="device")
        self._add(device)
        self.model.known.add(device)

    @if_any(Model.may_go)
    @rule(data=st.data())
    def remove_device(self, data: st.DataObject) -> None:
        device = data.draw(st.sampled_from(self.model.may_go()), label="device")
        self._calls(device).remove(self._id(device))
        self.model.known.discard(device)

    @when(RUNNING, PAUSED)
    @if_any(Model.may_be_plugged)
    @rule(data=st.data())
    def plug(self, data: st.DataObject) -> None:
        device = data.draw(st.sampled_from(self.model.may_be_plugged()), label="device")
        self._do(self._calls(device).plug(self._id(device)))
        self.model.plugged.add(device)

    @when(RUNNING)
    @if_any(Model.may_be_unplugged)
    @rule(data=st.data(), force=st.booleans())
    def unplug(self, data: st.DataObject, force: bool) -> None:  # noqa: FBT001  drawn
        device = data.draw(st.sampled_from(self.model.may_be_unplugged()), label="device")
        self._eventually(lambda: self._unplug(device, force=force))
        self.model.plugged.discard(device)

    def _unplug(self, device: Device, *, force: bool) -> None:
        """A guest may refuse for a while."""
        try:
            self._do(self._calls(device).unplug(self._id(device), force=force))
        except XenopsError as error:
            assert "did not let go" not in str(error), str(error)  # noqa: PT017  else it is what went wrong
            raise

    @when(RUNNING, PAUSED)
    @rule(medium=st.sampled_from(MEDIA))
    def change_medium(self, medium: str) -> None:
        drive = self._id(DRIVE)
        if self.model.medium is None:
            self._do(self.client.vbd.insert(drive, LocalDisk(path=str(self.ground.path(self.vm, medium)))))
            self.model.medium = medium
        else:
            self._do(self.client.vbd.eject(drive))
            self.model.medium = None

    @when(RUNNING, PAUSED)
    @rule(carrier=st.booleans())
    def move_a_cable(self, carrier: bool) -> None:  # noqa: FBT001  drawn
        first = DeviceId(self.vm, "0")
        self._do(self.client.vif.set_carrier(first, carrier=carrier))
        self._do(self.client.vif.move(first, LocalNetwork(bridge="xenbr0")))

    @when(RUNNING)
    @rule(mode=st.sampled_from((Disabled(), Unlocked())))
    def lock(self, mode: Disabled | Unlocked) -> None:
        self._do(self.client.vif.set_locking_mode(DeviceId(self.vm, "0"), mode))

    # --- around it ----------------------------------------------------------------------------------

    @precondition(lambda walk: bool(walk.ground.restarts))
    @rule(data=st.data())
    def start_a_service_anew(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.ground.restarts) - 1), label="service")
        self.ground.restarts[number]()

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        if self._steps:
            self._eventually(self._assert_as_modelled)

    @override
    def teardown(self) -> None:
        """Nothing of it is left."""
        if self.client.vm.exists(self.vm):
            if self.client.vm.stat(self.vm)[1].power_state is not HALTED:
                wait_for_task(self.client, self.client.vm.shutdown(self.vm), TASK_S)
            self.client.vm.remove(self.vm)
        self.ground.forget(self.vm)

    # --- how it is done -----------------------------------------------------------------------------

    @property
    def _image(self) -> LocalDisk:
        return LocalDisk(path=str(self.ground.path(self.vm, "image")))

    def _id(self, device: Device) -> DeviceId:
        return DeviceId(self.vm, device.name)

    def _calls(self, device: Device) -> Any:
        return self.client.vbd if device.kind is Kind.DISK else self.client.vif

    def _add(self, device: Device) -> None:
        known = self._described.vbds if device.kind is Kind.DISK else self._described.vifs
        (described,) = (one for one in known if one.id.device == device.name)
        self._calls(device).add(described)
        self._steps += 1

    def _do(self, task: str, *, is_news: bool = False) -> None:
        """Wait for what was asked for; that the VM has changed is told to whoever waits for news."""
        before = None if not is_news else int(task)
        wait_for_task(self.client, task, TASK_S)
        self._steps += 1
        if before is not None:
            self._eventually(self._assert_told)

    def _assert_told(self) -> None:
        told = self.client.updates.get(None, 0)[1]
        assert VmObject(id=self.vm) in told, "nobody was told that the VM has changed"

    def _refused(self, task: str) -> None:
        try:
            wait_for_task(self.client, task, TASK_S)
        except XenopsError as error:
            assert isinstance(error.error, BadPowerState), error  # noqa: PT017  what follows is the model
            return
        raise AssertionError(f"task {task} was done though the VM is {self.model.power}")

    def _cancelled(self, task: str, after: PowerState) -> None:
        """Cancel a task at once, which may come too late: the VM is in a state that it may have then.

        Which one it is, hangs on who is quicker, and a walk does not: so the VM is shut down.
        """
        allowed = self.model.outcomes(after)
        self.client.task.cancel(task)
        try:
            self._do(task)
        except XenopsError as error:
            assert isinstance(error.error, CancelledError), error  # noqa: PT017  what follows is the same
        power = self.client.vm.stat(self.vm)[1].power_state
        assert power in allowed, f"after a cancelled task the VM is {power}"
        if power is SUSPENDED:  # a shutdown leaves it so
            self._do(self.client.vm.resume(self.vm, self._image))
        if power is not HALTED:
            self._do(self.client.vm.shutdown(self.vm))
        self.model.ended()

    def _assert_answers(self) -> None:
        self._steps += 1
        self.ground.assert_answers(self.vm, f"q{self._steps}z")

    def _assert_as_modelled(self) -> None:
        power = self.client.vm.stat(self.vm)[1].power_state
        assert power is self.model.power, f"the VM is {power}, and should be {self.model.power}"
        for kind, listed in (
            (Kind.DISK, self.client.vbd.list(self.vm)),
            (Kind.INTERFACE, self.client.vif.list(self.vm)),
        ):
            known = {device.name for device in self.model.known if device.kind is kind}
            assert {device.id.device for device, _ in listed} == known
            plugged = {device.name for device in self.model.plugged if device.kind is kind}
            assert {device.id.device for device, state in listed if state.plugged} == plugged
        if self.model.is_live:
            vcpus = self.client.vm.stat(self.vm)[1].vcpu_target
            assert vcpus == self.model.vcpus, f"the VM has {vcpus} vCPUs, and should have {self.model.vcpus}"
            present = self.client.vbd.stat(self._id(DRIVE))[1].backend_present
            expected = self.model.medium and LocalDisk(path=str(self.ground.path(self.vm, self.model.medium)))
            assert present == expected, f"in the drive is {present}, and should be {expected}"

    def _eventually(self, holds: Callable[[], None]) -> None:
        """What a guest or a hypervisor does by itself may take a moment."""
        end, pause = time.monotonic() + self.ground.settles_s, threading.Event()
        while True:
            try:
                return holds()
            except AssertionError:
                if time.monotonic() > end:
                    raise
                pause.wait(QUIET_S)


def walks_on(ground: Ground) -> type[Walk]:
    """Walks there, as Hypothesis wants them: made without a word."""

    class WalkThere(Walk):
        def __init__(self) -> None:
            super().__init__(ground)

    return WalkThere
