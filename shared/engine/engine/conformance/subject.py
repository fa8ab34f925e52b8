"""Subject: what a backend gives the suite to test it with, and the suite's way through a VM's life."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.disk import Disk
from schema.objects.errors import Error
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import PowerState, Vm

from engine.backend import Backend, CreateOptions, Devices, Execution
from engine.conformance.execution import SuiteExecution

Step = Callable[[Execution], None]
"""One verb with its arguments."""


class Subject(ABC):
    """A backend under test, with makers of what it can run."""

    unsupported: frozenset[str] = frozenset()
    """Verbs that it cannot do, as in `engine.conformance.calls`: `VM.save`, `VIF.move`."""

    asks_at_first: DomainAction = DomainAction.POWEROFF
    """What a domain asks for until it is whole."""

    guest_shuts_down: bool = True
    """Whether the guest of `make_vm`, once unpaused, ends when it is asked."""

    keeps_domid: bool = True
    """Whether a VM that was saved goes on under the same number."""

    patience_s: float = 240.0
    """How long its guests may take for anything, emulated and on a busy machine, too."""

    backend: Backend
    """Started, so that it tells of changes to whoever its maker chose."""

    @abstractmethod
    def make_vm(self) -> Vm:
        """A VM of an id not used before, with at least two vCPUs at most."""

    @abstractmethod
    def make_vbd(self, vm: Vm, number: int) -> Vbd:
        """A writable disk, by number from 0."""

    @abstractmethod
    def make_cd(self, vm: Vm, number: int) -> Vbd:
        """A CD drive with a medium in, another one in each."""

    @abstractmethod
    def make_vif(self, vm: Vm, number: int) -> Vif:
        """An interface, by number from 0."""

    @abstractmethod
    def make_image(self) -> Disk:
        """A disk to suspend to."""

    @abstractmethod
    def reopen(self) -> None:
        """Replace `backend` by one started anew on the same hypervisor, as by the restart of a worker."""

    def let_boot(self, vm: Vm) -> None:  # noqa: B027  what is not asked has nothing to do
        """Bring a started VM so far that it can be suspended: where its guest takes part in that, run it."""

    def needs(self, *verbs: str) -> None:
        """Skip the test when the backend cannot do one of them."""
        missing = self.unsupported.intersection(verbs)
        if missing:
            pytest.skip(f"not supported: {', '.join(sorted(missing))}")


@dataclass(frozen=True, slots=True)
class Life:
    """A VM with its devices, and the verbs that start and stop it, in the order of the plans."""

    subject: Subject
    vm: Vm
    devices: Devices

    @property
    def id(self) -> VmId:
        """The VM's id."""
        return VmId(self.vm.id)

    def start(self) -> None:
        """Start it; it is left paused."""
        for step in self.start_steps():
            step(SuiteExecution())

    def stop(self) -> None:
        """Shut it down by force."""
        for step in self.stop_steps():
            step(SuiteExecution())

    def start_steps(self) -> list[Step]:
        """VM.start, verb by verb."""
        vm = self.subject.backend.vm
        return [
            lambda task: vm.create(task, self.vm, self.devices, CreateOptions()),
            lambda task: vm.build(task, self.vm, self.devices, force=False),
            *self.furnish_steps(save_state=False),
        ]

    def resume_steps(self, image: Disk) -> list[Step]:
        """VM.resume, verb by verb."""
        vm = self.subject.backend.vm
        return [
            lambda task: vm.create(task, self.vm, self.devices, CreateOptions()),
            lambda task: vm.restore(task, self.vm, self.devices, image),
            *self.furnish_steps(save_state=True),
        ]

    def furnish_steps(self, *, save_state: bool) -> list[Step]:
        """What a domain gets that has its memory."""
        vm = self.subject.backend.vm
        return [
            *(step for vbd in self.devices.vbds for step in self._plug_vbd(vbd)),
            *(step for vif in self.devices.vifs for step in self._plug_vif(vif)),
            lambda task: vm.create_device_model(task, self.vm, self.devices, save_state=save_state),
            lambda _: vm.set_domain_action_request(self.vm, None),
        ]

    def stop_steps(self) -> list[Step]:
        """VM.shutdown by force, verb by verb."""
        vm = self.subject.backend.vm
        return [
            lambda task: vm.destroy_device_model(task, self.vm),
            *(step for vbd in self.devices.vbds for step in self._unplug_vbd(vbd)),
            *(step for vif in self.devices.vifs for step in self._unplug_vif(vif)),
            lambda task: vm.destroy(task, self.vm),
        ]

    def is_as_started(self) -> bool:
        """Whether it is paused, with all devices plugged."""
        vbds, vifs = self.subject.backend.vbd, self.subject.backend.vif
        plugged = [
            *(vbds.get_state(self.id, vbd).plugged for vbd in self.devices.vbds),
            *(vifs.get_state(self.id, vif).plugged for vif in self.devices.vifs),
        ]
        return self.subject.backend.vm.get_state(self.vm).power_state is PowerState.PAUSED and all(plugged)

    def _plug_vbd(self, vbd: Vbd) -> list[Step]:
        verbs = self.subject.backend.vbd
        return [
            lambda task: verbs.set_active(task, self.id, vbd, active=True),
            lambda task: verbs.attach(task, self.id, vbd),
            lambda task: verbs.activate(task, self.id, vbd),
        ]

    def _unplug_vbd(self, vbd: Vbd) -> list[Step]:
        verbs = self.subject.backend.vbd
        return [
            lambda task: verbs.deactivate(task, self.id, vbd, force=True),
            lambda task: verbs.detach(task, self.id, vbd),
            lambda task: verbs.set_active(task, self.id, vbd, active=False),
        ]

    def _plug_vif(self, vif: Vif) -> list[Step]:
        verbs = self.subject.backend.vif
        return [
            lambda task: verbs.set_active(task, self.id, vif, active=True),
            lambda task: verbs.plug(task, self.id, vif),
        ]

    def _unplug_vif(self, vif: Vif) -> list[Step]:
        verbs = self.subject.backend.vif
        return [
            lambda task: verbs.unplug(task, self.id, vif, force=True),
            lambda task: verbs.set_active(task, self.id, vif, active=False),
        ]


def make_life(subject: Subject, of_each: int = 1) -> Life:
    """A new VM with a disk and an interface, or so many of each."""
    vm, numbers = subject.make_vm(), range(of_each)
    vbds = tuple(subject.make_vbd(vm, number) for number in numbers)
    return Life(
        subject, vm, Devices(vbds=vbds, vifs=tuple(subject.make_vif(vm, number) for number in numbers))
    )


def refusal(call: Callable[..., object], *arguments: object, **named: object) -> Error:
    """The error that a call ends with."""
    with pytest.raises(XenopsError) as caught:
        call(*arguments, **named)
    return caught.value.error
