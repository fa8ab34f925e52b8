"""The verbs on PCI devices, on QEMU: the host's driver lets one go, the guest has it by VFIO, and back."""

import logging
import resource
import threading
from contextlib import suppress
from functools import partial

from engine.backend import Execution, PciVerbs
from engine.holding import find
from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.halted import UNPLUGGED_PCI
from schema.objects.pci import Pci, PciAddress, PciState
from typing_extensions import override

from worker_kvm.pci import name_of
from worker_kvm.qemu.command import MIB, memory_mib
from worker_kvm.qemu.hostdevices import HeldPci, TakenGroup
from worker_kvm.qemu.hypervisor import Hypervisor
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Domain, Machine
from worker_kvm.qemu.passthrough import (
    idle_groups,
    pci_device,
    with_owner,
    with_pci,
    without_group,
    without_pci,
)
from worker_kvm.qemu.process import is_alive
from worker_kvm.vfio import Vfio

UNPLUG_TIMEOUT_S = 10.0
"""How long a guest may take to let go of a device; a paused one does not answer."""

_PINNED_BESIDE_BYTES = 1 << 30
"""What QEMU may have the kernel hold in memory besides the guest's own: memory of devices, firmware."""

_LOG = logging.getLogger(__name__)


class QemuPcis(PciVerbs):
    """`PciVerbs` on QEMU."""

    def __init__(self, hypervisor: Hypervisor, vfio: Vfio) -> None:
        self._hypervisor = hypervisor
        self._vfio = vfio
        self._sharing = threading.Lock()
        """Whoever decides which VM has which group, or gives one back, holds it."""

    @override
    def get_state(self, vm: VmId, pci: Pci) -> PciState:
        held, live = _held(self._hypervisor.look(vm), pci), self._hypervisor.live(vm)
        if held is None or live is None:
            return UNPLUGGED_PCI
        return PciState(plugged=not live.lacks(held.device))

    @override
    def plug(self, execution: Execution, vm: VmId, pci: Pci, *, use_qmp: bool) -> None:
        """Give it to the guest. Failed, the host has it.

        Errors: `Does_not_exist("domain", vm)`, `Domain_not_built`; those of `with_pci`; `Internal_error` that
        names the device and what is missing.
        """
        execution.check_cancelled()
        live = self._hypervisor.running(vm)
        with self._sharing:  # whose a device is may be changing until then
            group, others = self._vfio.group(name_of(pci.address)), self._hypervisor.machines()
            machine = self._hypervisor.change(vm, lambda machine: with_pci(machine, pci, group, others))
        held = _held(machine, pci)
        if held is None or live.has_device(held.device):
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
        return held is not None and live is not None and live.lacks(held.device)

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

    def _give(self, vm: str, domain: Domain, live: Live, held: HeldPci) -> None:
        """The group's file is its QEMU's user's meanwhile: QEMU 7.2 opens it by itself."""
        group = next(group for group in domain.groups if group.number == held.group)
        for device in group.devices:
            self._vfio.take(device.name)
        user = self._hypervisor.settings.user
        if group.owner is None:
            self._vfio.refuse_if_open(group.number)
            owner = self._vfio.owner(group.number)
            self._hypervisor.change(vm, lambda machine: with_owner(machine, group.number, owner))
        if user is not None:
            self._vfio.hand_over(group.number, user.of(domain.domid))
        _let_pin(live.process.pid, memory_mib(domain.vm) * MIB + _PINNED_BESIDE_BYTES)
        live.do("device_add", pci_device(held))

    def _take(self, vm: str, live: Live | None, held: HeldPci) -> None:
        """Not before QEMU has let go of it: its driver would wait for that."""
        alive = live if live is not None and is_alive(live.process) else None
        if alive is not None and not alive.remove_device(held.device, UNPLUG_TIMEOUT_S):
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


def _held(machine: Machine, pci: Pci) -> HeldPci | None:
    return None if machine.domain is None else find(machine.domain.pcis, pci.id)


def _let_pin(pid: int, size_bytes: int) -> None:
    """Let a QEMU have so much memory that is never swapped: a device writes to a guest's at any time.

    Errors: `Internal_error`, the limit is lower and is not ours to raise.
    """
    limits = resource.prlimit(pid, resource.RLIMIT_MEMLOCK)
    if all(limit == resource.RLIM_INFINITY or limit >= size_bytes for limit in limits):
        return
    try:
        resource.prlimit(pid, resource.RLIMIT_MEMLOCK, (size_bytes, size_bytes))
    except PermissionError as error:
        raise internal_error(
            f"QEMU must hold {size_bytes // MIB} MiB in memory for a PCI device, and its limit is "
            f"{limits[0] // MIB} MiB: run the worker as root, or raise RLIMIT_MEMLOCK (LimitMEMLOCK=)"
        ) from error
