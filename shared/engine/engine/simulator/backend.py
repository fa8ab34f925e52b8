"""Simulator: the backend without a hypervisor, for tests, demonstrations and builders of clients."""

from collections.abc import Callable, Sequence
from typing import Final

from schema.atomics.vm import DomainAction
from schema.fault import unimplemented
from schema.ids import DeviceId
from schema.objects.dynamic import ObjectId, PciObject, VbdObject, VgpuObject, VifObject, VmObject, VusbObject
from typing_extensions import override

from engine.backend import Backend
from engine.holding import with_or_without
from engine.simulator.host import SimulatedHost
from engine.simulator.hypervisor import Hypervisor
from engine.simulator.passthrough import SimulatedPcis, SimulatedVgpus, SimulatedVusbs
from engine.simulator.records import FileRecords, MemoryRecords, Records
from engine.simulator.settings import SimulatorSettings
from engine.simulator.vbds import SimulatedVbds, check_plug_ordering
from engine.simulator.vifs import SimulatedVifs
from engine.simulator.vms import SimulatedVms

_ASKS: Final = {
    "reboot": DomainAction.REBOOT,
    "halt": DomainAction.POWEROFF,
    "crash": DomainAction.CRASHDUMP,
    "suspend": DomainAction.SUSPEND,
    "softreset": DomainAction.SOFTRESET,
}
"""Triggers that make a domain ask for something; the original knows the first two."""

_OBJECTS: Final[dict[str, Callable[[DeviceId], ObjectId]]] = {
    "vbd": lambda id_: VbdObject(id=id_),
    "vif": lambda id_: VifObject(id=id_),
    "pci": lambda id_: PciObject(id=id_),
    "vgpu": lambda id_: VgpuObject(id=id_),
    "vusb": lambda id_: VusbObject(id=id_),
}


class Simulator(Backend):
    """The `Backend` called `simulator`; on a new host, or one that is there already."""

    name = "simulator"
    reads_wait = False

    def __init__(
        self, settings: SimulatorSettings | None = None, hypervisor: Hypervisor | None = None
    ) -> None:
        settings = settings or SimulatorSettings()
        self._hypervisor = hypervisor or Hypervisor(settings, _records(settings))
        self.host = SimulatedHost()
        self.vm = SimulatedVms(self._hypervisor)
        self.pci = SimulatedPcis(self._hypervisor)
        self.vbd = SimulatedVbds(self._hypervisor)
        self.vif = SimulatedVifs(self._hypervisor)
        self.vgpu = SimulatedVgpus(self._hypervisor)
        self.vusb = SimulatedVusbs(self._hypervisor)

    @override
    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """From now on tell of changes."""
        self._hypervisor.on_change = on_change

    @override
    def stop(self) -> None:
        """Let go of the state; the domains in it run on."""
        self._hypervisor.records.close()

    @override
    def trigger(self, command: str, arguments: Sequence[str]) -> None:
        """Make something happen, as it would by itself on a real host.

        `reboot`, `halt`, `crash`, `suspend`, `softreset` [vm]: the domain asks for it. `unplug` [vm, device],
        the device as `vbd.xvda`: it asks to be unplugged. `check-vbd-plug-ordering` [vm].

        Errors: `Does_not_exist("domain", vm)`; `Unimplemented` for any other command or number of arguments.
        """
        match command, tuple(arguments):
            case _, (vm,) if command in _ASKS:
                self._ask(vm, _ASKS[command])
            case "unplug", (vm, device) if device.partition(".")[0] in _OBJECTS:
                self._ask_unplug(vm, device)
            case "check-vbd-plug-ordering", (vm,):
                check_plug_ordering(self._hypervisor.look(vm))
            case _:
                raise unimplemented(command)

    def _ask(self, vm: str, action: DomainAction) -> None:
        self._hypervisor.change(vm, lambda machine: machine.with_domain(domain_action_request=action))
        self._hypervisor.on_change(VmObject(id=vm))

    def _ask_unplug(self, vm: str, device: str) -> None:
        self._hypervisor.look(vm).living()
        self._hypervisor.change(
            vm, lambda machine: machine.but(leaving=with_or_without(machine.leaving, device, there=True))
        )
        kind, _, name = device.partition(".")
        self._hypervisor.on_change(_OBJECTS[kind](DeviceId(vm, name)))


def _records(settings: SimulatorSettings) -> Records:
    return MemoryRecords() if settings.state is None else FileRecords(settings.state)
