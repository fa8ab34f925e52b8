"""The verbs on PCI devices: the host's driver lets one go, a guest of QEMU's has it by VFIO, and back."""

import logging
import threading
from abc import abstractmethod
from contextlib import suppress
from functools import partial
from typing import Any, Generic

from engine.backend import Execution, PciVerbs
from engine.holding import find
from engine.hosted.machine import HostedMachine
from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.halted import UNPLUGGED_PCI
from schema.objects.pci import Pci, PciAddress, PciState
from typing_extensions import override

from worker_kvm.guests import GuestsT, LiveT
from worker_kvm.hostdevices import HeldPci, TakenGroup
from worker_kvm.passthrough import Domain, idle_groups, with_owner, with_pci, without_group, without_pci
from worker_kvm.pci import name_of
from worker_kvm.vfio import Vfio

UNPLUG_TIMEOUT_S = 10.0
"""How long a guest may take to let go of a device; a paused one does not answer."""

_LOG = logging.getLogger(__name__)


class KvmPcis(PciVerbs, Generic[GuestsT, LiveT]):
    """`PciVerbs` but for how a QEMU gets a device, and loses it."""

    def __init__(self, hypervisor: GuestsT, vfio: Vfio) -> None:
        self._hypervisor = hypervisor
        self._vfio = vfio
        self._sharing = threading.Lock()
        """Whoever decides which VM has which group, or gives one back, holds it."""

    @abstractmethod
    def _is_there(self, live: LiveT) -> bool:
        """Whether there is still a QEMU, which may use devices."""

    @abstractmethod
    def _has(self, live: LiveT, held: HeldPci) -> bool:
        """Whether the guest has a device. Errors: `Internal_error`, nobody answers."""

    @abstractmethod
    def _add(self, domain: Domain, live: LiveT, held: HeldPci) -> None:
        """Give the guest a device, which is VFIO's by now. Errors: `Internal_error`."""

    @abstractmethod
    def _is_gone(self, live: LiveT, held: HeldPci, timeout_s: float) -> bool:
        """Take a device from the guest, which must agree; answers whether it is gone in time."""

    @override
    def get_state(self, vm: VmId, pci: Pci) -> PciState:
        held, live = _held(self._hypervisor.look(vm), pci), self._hypervisor.live(vm)
        if held is None or live is None:
            return UNPLUGGED_PCI
        return PciState(plugged=not self._lacks(live, held))

    @override
    def plug(self, execution: Execution, vm: VmId, pci: Pci, *, use_qmp: bool) -> None:
        """Give it to the guest. Failed, the host has it.

        Errors: `Does_not_exist("domain", vm)`, `Domain_not_built`; those of `with_pci`; `Internal_error` that
        names the device and what is missing.
        """
        execution.check_cancelled()
        live: LiveT = self._hypervisor.running(vm)
        with self._sharing:  # whose a device is may be changing until then
            group, others = self._vfio.group(name_of(pci.address)), self._hypervisor.machines()
            machine = self._hypervisor.change(vm, lambda machine: with_pci(machine, pci, group, others))
        held = _held(machine, pci)
        if held is None or self._has(live, held):
            return
        try:
            self._give(vm, machine.living(), live, held)
        except BaseException:
            with suppress(XenopsError):  # of a QEMU that does not answer the task's check takes it
                self._take(vm, live, held)
            raise

    @override
    def unplug(self, execution: Execution, vm: VmId, pci: Pci) -> None:
        """Ask the guest to let go of it. Errors: `Internal_error`, it does not; those of `Vfio.give_back`."""
        held, live = _held(self._hypervisor.look(vm), pci), self._hypervisor.live(vm)
        if held is None:
            return
        self._take(vm, live, held)

    @override
    def wants_unplug(self, vm: VmId, pci: Pci) -> bool:
        """Whether the guest has let go of it by itself, or too late for who had asked it to."""
        held, live = _held(self._hypervisor.look(vm), pci), self._hypervisor.live(vm)
        return held is not None and live is not None and self._lacks(live, held)

    @override
    def dequarantine(self, address: PciAddress) -> None:
        """None is in quarantine: what no VM has, the host has."""

    def let_go(self, vm: str) -> None:
        """Give the host all that a VM has of it whose QEMU has ended; a driver that fails is only told of."""
        domain = self._hypervisor.look(vm).domain
        for held in () if domain is None else domain.pcis:
            self._hypervisor.change(vm, partial(without_pci, held=held))
        try:
            self._give_back(vm)
        except XenopsError as error:
            _LOG.warning("VM %s: %s", vm, error)

    def _lacks(self, live: LiveT, held: HeldPci) -> bool:
        """Whether the guest has let go of a device; one of whom nobody knows has what it had."""
        with suppress(XenopsError):
            return not self._has(live, held)
        return False

    def _give(self, vm: str, domain: Domain, live: LiveT, held: HeldPci) -> None:
        group = next(group for group in domain.groups if group.number == held.group)
        for device in group.devices:
            self._vfio.take(device.name)
        if group.owner is None:
            self._vfio.refuse_if_open(group.number)
            owner = self._vfio.owner(group.number)
            self._hypervisor.change(vm, lambda machine: with_owner(machine, group.number, owner))
        self._add(domain, live, held)

    def _take(self, vm: str, live: LiveT | None, held: HeldPci) -> None:
        """Not before QEMU has let go of it: its driver would wait for that."""
        alive = live if live is not None and self._is_there(live) else None
        if alive is not None and not self._is_gone(alive, held, UNPLUG_TIMEOUT_S):
            raise internal_error(
                f"The guest of VM {vm} did not let go of PCI device {name_of(held.pci.address)} within "
                f"{UNPLUG_TIMEOUT_S:g} s: let it run and try again, or shut the VM down"
            )
        self._hypervisor.change(vm, partial(without_pci, held=held))
        self._give_back(vm)

    def _give_back(self, vm: str) -> None:
        with self._sharing:
            for group in idle_groups(self._hypervisor.look(vm)):
                self._give_group_back(group)
                self._hypervisor.change(vm, partial(without_group, number=group.number))

    def _give_group_back(self, group: TakenGroup) -> None:
        if group.owner is not None:
            self._vfio.hand_over(group.number, group.owner)
        self._vfio.give_back({device.name: device.driver for device in group.devices})


def _held(machine: HostedMachine[Any, Any, Any], pci: Pci) -> HeldPci | None:
    held: tuple[HeldPci, ...] = () if machine.domain is None else machine.domain.pcis
    return find(held, pci.id)
