"""The verbs on PCI devices: taken from dom0's driver, given to a guest by pciback or by its device model."""

from engine.backend import Execution, PciVerbs
from engine.refusals import detach_rejected
from schema.fault import XenopsError, internal_error, unimplemented
from schema.ids import VmId
from schema.objects.errors import AlreadyExists
from schema.objects.halted import UNPLUGGED_PCI
from schema.objects.pci import Pci, PciAddress, PciState
from schema.objects.vm import Hvm, Pv
from typing_extensions import override

from worker_xen.classic.ends import DRIVER_TIMEOUT_S, GUEST_TIMEOUT_S, Ends
from worker_xen.classic.hvm import passing
from worker_xen.classic.hypervisor import Found, Hypervisor
from worker_xen.classic.machine import Domain, HeldPci, pci_path, with_pci
from worker_xen.classic.pciback import name_of
from worker_xen.xenstore.devices import (
    BusState,
    DevicePath,
    PciNode,
    asking_nodes,
    pci_nodes,
    pci_slot_paths,
    state_of,
)


class ClassicPcis(PciVerbs):
    """`PciVerbs` on Xen by libxc."""

    def __init__(self, hypervisor: Hypervisor, ends: Ends) -> None:
        self._hypervisor = hypervisor
        self._ends = ends

    @override
    def get_state(self, vm: VmId, pci: Pci) -> PciState:
        found = self._hypervisor.find(vm)
        held = found.machine.pci(pci.id)
        return UNPLUGGED_PCI if held is None or found.info is None else PciState(plugged=held.plugged)

    @override
    def plug(self, execution: Execution, vm: VmId, pci: Pci, *, use_qmp: bool) -> None:
        """Give it to the guest, which meets it behind those it has. Failed or cancelled, it has it not.

        An HVM guest's device model does not show it without `use_qmp`: something else will.
        Errors: `Unimplemented` for a PVH guest; `Internal_error` that names what is missing.
        """
        execution.check_cancelled()
        found = self._hypervisor.find(vm)
        domain, info = found.built()
        held = found.machine.pci(pci.id)
        if held is not None and held.plugged:
            return
        _refuse(domain, pci)
        held = held or HeldPci(pci=pci, slot=domain.next_slot())
        self._put(vm, held)
        try:
            if not self._is_told(info.domid, domain, held):  # by one that died meanwhile
                self._give(info.domid, domain, held)
                if not domain.is_hvm:
                    self._tell_guest(info.domid, held, execution)
                elif use_qmp:
                    passing.show(self._hypervisor.emulators, info.domid, pci.address)
        except BaseException:
            self._take(self._hypervisor.find(vm), held, None)
            raise
        self._put(vm, held.model_copy(update={"plugged": True}))

    @override
    def unplug(self, execution: Execution, vm: VmId, pci: Pci) -> None:
        """A guest that runs is asked to let go of it; from a PV one that does not answer it is taken.

        An HVM guest reaches it without us: as long as it has a device model it must let go by itself.
        Errors: `Device_detach_rejected`.
        """
        found = self._hypervisor.find(vm)
        held = found.machine.pci(pci.id)
        if held is not None:
            self._take(found, held, execution)

    @override
    def wants_unplug(self, vm: VmId, pci: Pci) -> bool:
        """No guest asks."""
        return False

    @override
    def dequarantine(self, address: PciAddress) -> None:
        """None is in quarantine: what a guest had, pciback keeps for the next."""

    def _give(self, domid: int, domain: Domain, held: HeldPci) -> None:
        """What the hypervisor must permit."""
        if not self._hypervisor.xen.host().has_iommu:
            raise internal_error(
                f"PCI device {name_of(held.pci.address)} cannot be given to VM {domain.vm.id}: this host has "
                "no IOMMU that Xen uses; switch it on in the firmware, and boot Xen with `iommu=1`"
            )
        device = self._hypervisor.dom0.take_pci(held.pci.address)
        with self._hypervisor.told(domain.vm.id):
            if domain.is_hvm:
                self._hypervisor.xen.take(domid, device)  # one that died may have given it, and shown it not
            self._hypervisor.xen.give(domid, device)

    def _is_told(self, domid: int, domain: Domain, held: HeldPci) -> bool:
        if domain.is_hvm:
            return passing.has(self._hypervisor.emulators, domid, held.pci.address)
        return self._hypervisor.store.read(f"{pci_path(domid).backend}/vdev-{held.slot}") is not None

    def _tell_guest(self, domid: int, held: HeldPci, execution: Execution) -> None:
        """By way of pciback."""
        path = pci_path(domid)
        is_first = self._hypervisor.store.read(f"{path.backend}/state") is None
        seen = self._state(path)
        nodes = pci_nodes(_node(path, held), is_first=is_first, is_connected=seen is BusState.CONNECTED)
        self._hypervisor.store.replace([path.error], nodes)
        wanted = BusState.CONNECTED if seen is BusState.CONNECTED else BusState.INITIALISED
        self._await(path, wanted, execution)

    def _await(self, path: DevicePath, wanted: BusState, execution: Execution) -> None:
        state, store = f"{path.backend}/state", self._hypervisor.store
        wait_s = GUEST_TIMEOUT_S if wanted is BusState.CONNECTED else DRIVER_TIMEOUT_S

        def settled() -> str | None:
            complaint = store.read(path.error)
            if complaint:
                return f"pciback says: {complaint.decode(errors='replace')}"
            return "" if self._state(path) in {wanted, BusState.CONNECTED} else None

        complaint = store.await_change([state, path.error], settled, wait_s, execution)
        if complaint:
            raise internal_error(f"PCI devices of domain {path.domid}: {complaint}")
        if complaint is None:
            raise internal_error(
                f"PCI devices of domain {path.domid} are not ready within {wait_s:g} s: see the kernel's "
                "log, and whether the guest has the driver xen-pcifront"
            )

    def _take(self, found: Found, held: HeldPci, execution: Execution | None) -> None:
        """Nothing here depends on a domain that is gone, nor on a PV guest that does not answer."""
        domain = found.machine.domain
        if domain is None or domain.domid is None:
            return
        if domain.is_hvm:
            self._await_release(found, domain.domid, held, execution)
        else:
            self._take_back(found, domain, held, execution)
        if found.info is not None:
            device = self._hypervisor.dom0.describe_pci(held.pci.address)
            if device is not None:
                self._hypervisor.xen.take(domain.domid, device)
        self._hypervisor.change(found.machine.id, lambda machine: with_pci(machine, held, there=False))

    def _take_back(self, found: Found, domain: Domain, held: HeldPci, execution: Execution | None) -> None:
        """From a PV guest, which is asked if it runs."""
        path = pci_path(domain.domid or 0)
        if found.info is not None and not found.info.is_paused and execution is not None:
            self._ask(path, held.slot, execution)
        if any(other.slot != held.slot for other in domain.pcis):
            self._hypervisor.store.remove(pci_slot_paths(path, held.slot))
        else:
            self._ends.remove(path)

    def _await_release(self, found: Found, domid: int, held: HeldPci, execution: Execution | None) -> None:
        """An HVM guest that has a device model lets go of it, or it is not taken."""
        emulators, address = self._hypervisor.emulators, held.pci.address
        if execution is None or not passing.has(emulators, domid, address):
            return
        if found.info is not None and found.info.is_paused:
            raise detach_rejected(
                "PCI", held.id, "the guest is paused, so it cannot let go of it: unpause it, or shut it down"
            )
        if not passing.let_go(emulators, domid, address, execution):
            wait_s = passing.TIMEOUT_S
            raise detach_rejected(
                "PCI",
                held.id,
                f"the guest has not let go of it within {wait_s:g} s: try again, or shut it down",
            )

    def _ask(self, path: DevicePath, slot: int, execution: Execution) -> None:
        if self._state(path) is not BusState.CONNECTED:
            return
        self._hypervisor.store.write(asking_nodes(path, slot))
        state = f"{path.backend}/state-{slot}"

        def closed() -> bool | None:
            found = state_of(self._hypervisor.store.read(state))
            return True if found in {BusState.UNKNOWN, BusState.CLOSED} else None

        self._hypervisor.store.await_change([state], closed, GUEST_TIMEOUT_S, execution)

    def _state(self, path: DevicePath) -> BusState:
        return state_of(self._hypervisor.store.read(f"{path.backend}/state"))

    def _put(self, vm: VmId, held: HeldPci) -> None:
        self._hypervisor.change(vm, lambda machine: with_pci(machine, held, there=True))


def _refuse(domain: Domain, pci: Pci) -> None:
    if not isinstance(domain.vm.ty, Pv | Hvm):
        raise unimplemented("PCI.plug to a PVH guest on classic")
    if any(other.pci.position == pci.position and other.id != pci.id for other in domain.pcis):
        raise XenopsError(AlreadyExists(klass="pci", id=str(pci.position)))
    if not domain.gets_pcis:
        raise internal_error(
            f"VM {domain.vm.id} was started without PCI devices, and the hypervisor gives none to such a "
            "domain: set `pci_passthrough`, or add the device, and start it anew"
        )


def _node(path: DevicePath, held: HeldPci) -> PciNode:
    pci = held.pci
    return PciNode(
        device=path,
        slot=held.slot,
        name=name_of(pci.address),
        msi_translate=pci.msitranslate is True,
        power_management=pci.power_mgmt is True,
    )
