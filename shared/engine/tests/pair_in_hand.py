"""Two hosts between which a VM migrates, in a test's hand."""

from pathlib import Path
from typing import Any

from engine.backend import Backend
from engine.conformance import SuiteExecution
from engine.conformance.hosts import Host, Task
from engine.conformance.samples import plug_sample, sample_vbd, sample_vm, start_sample
from engine.simulator import Fault
from schema.ids import VmId
from schema.migration import arriving_id, departing_id
from schema.objects.vm import PowerState, Vm
from schema.operations import VmMigrate

VM = VmId("5a5c9d47-0cd5-4aee-b3a4-6a1c0f3b8d2e")
LIVE = (PowerState.RUNNING, PowerState.PAUSED)


class Pair:
    """Two hosts, the first with a VM that runs, unlike any other."""

    def __init__(self, directory: Path, *faults: Fault, there: tuple[Fault, ...] = (), **more: Any) -> None:
        for name in ("here", "there"):
            (directory / name).mkdir(parents=True)
        self.here = Host(directory / "here", *faults, **more)
        self.there = Host(directory / "there", *there, **more)
        self.vm = sample_vm(VM, memory_dynamic_min=1 << 27)
        self.here.store.write(self.vm)
        self.here.store.vbds.write(sample_vbd(vm=VM))
        run_sample(self.here.backend, self.vm)

    def migrate(self, **fields: Any) -> Task:
        usual: dict[str, Any] = {"url": self.there.url, "compress": False, "localhost_migration": False}
        maps: dict[str, Any] = {"vdi_map": (), "vif_map": (), "pci_map": (), "verify_dest": False}
        return self.here.send(VmMigrate(vm=VM, **(usual | maps | fields)))

    def end_there(self) -> list[BaseException | None]:
        return [task.end() for _, task in self.there.arrivals]

    def assert_one_lives(self, where: Host | None = None) -> None:
        """Exactly one VM lives, with all that it had, and nothing temporary is left of its way."""
        living = [host for host in (self.here, self.there) if host.state(VM) in LIVE]
        assert [where or living[0]] == living
        for host in (self.here, self.there):
            assert set(host.store.ids()) <= {VM}
            for temporary in (arriving_id(VM), departing_id(VM)):
                assert host.state(temporary) is PowerState.HALTED
        state = living[0].backend.vm.get_state(living[0].store.read(VM))
        assert (state.vcpu_target, state.xsdata_state) == (3, (("vm-data/here", "before"),))
        assert living[0].backend.vbd.get_state(VM, sample_vbd(vm=VM)).plugged

    def close(self) -> None:
        self.here.close()
        self.there.close()


def run_sample(backend: Backend, vm: Vm) -> None:
    start_sample(backend, vm)
    plug_sample(backend, sample_vbd(vm=VM))
    backend.vm.unpause(SuiteExecution(), vm)
    backend.vm.set_vcpus(SuiteExecution(), vm, 3)
    backend.vm.set_xsdata(SuiteExecution(), vm, [("vm-data/here", "before")])
