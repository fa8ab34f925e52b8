"""The metadata store and the simulator: what a read, a write and a VM's start cost in the backend alone.

    python bench/bench_simulator.py [VMS] [DIRECTORY]

DIRECTORY should be what production uses, a tmpfs; on ext4 a write costs several times as much. A start is
the verbs of VM.start for a VM with two disks and one interface, 16 in all.
"""

import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.backend import CreateOptions, Devices
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_vbd, sample_vm
from engine.simulator import Simulator, SimulatorSettings
from engine.store import FileStore
from schema.ids import DeviceId, VmId
from schema.objects.disk import LocalDisk
from schema.objects.vif import Vif

THREADS = 16
REPEATS = 2_000


def main() -> None:
    """Print one line a figure."""
    vms = int(sys.argv[1]) if len(sys.argv) > 1 else 1_001
    where = sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory(dir=where) as name:
        directory = Path(name)
        measure_store(FileStore(directory))
        for label, state in (("in memory", None), ("in a file", directory / "host.db")):
            measure_simulator(label, Simulator(SimulatorSettings(state=state)), vms)


def measure_store(store: FileStore) -> None:
    """A VM with a disk: written, read as usual, and read after somebody else wrote it."""
    vm, vbd = sample_vm(), sample_vbd()
    store.write(vm)
    store.vbds.write(vbd)
    versions = itertools.cycle((vm, sample_vm(name="another name")))
    tell("store: write a VM", lambda: store.write(next(versions)))
    store.write(vm)
    tell("store: write a VM that is so already", lambda: store.write(vm))
    tell("store: read a VM", lambda: store.read(vm.id))
    tell("store: read all devices of a VM", lambda: store.devices(vm.id))

    def read_anew() -> None:
        store._vms._cache.clear()  # noqa: SLF001  as if another process had written
        store.read(vm.id)

    tell("store: read a VM that another process wrote", read_anew)


def tell(label: str, call: Callable[[], object]) -> None:
    """Time a call."""
    begin = time.perf_counter()
    for _ in range(REPEATS):
        call()
    print(f"{label:<48} {(time.perf_counter() - begin) / REPEATS * 1e6:9.1f} us")


def measure_simulator(label: str, simulator: Simulator, vms: int) -> None:
    """Many VMs, by many threads, as a worker's pool does it."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda number: start(simulator, f"v{number}"), range(vms)))
    seconds = time.perf_counter() - begin
    print(f"{f'simulator {label}: start one of {vms} VMs':<48} {seconds / vms * 1e6:9.1f} us")
    vm = sample_vm("v0")
    tell(f"simulator {label}: state of a VM", lambda: simulator.vm.get_state(vm))
    simulator.stop()


def start(simulator: Simulator, name: str) -> None:
    """All verbs of VM.start."""
    vm, task, id_ = sample_vm(name), SuiteExecution(), VmId(name)
    disk = LocalDisk(path="/dev/null")
    vbds = (sample_vbd("xvda", name, backend=disk), sample_vbd("xvdb", name, backend=disk))
    devices = Devices(vbds=vbds, vifs=(Vif(id=DeviceId(name, "0")),))
    simulator.vm.create(task, vm, devices, CreateOptions())
    simulator.vm.build(task, vm, devices, force=False)
    for vbd in devices.vbds:
        simulator.vbd.set_active(task, id_, vbd, active=True)
        simulator.vbd.epoch_begin(task, id_, disk, persistent=True)
        simulator.vbd.attach(task, id_, vbd)
        simulator.vbd.activate(task, id_, vbd)
    for vif in devices.vifs:
        simulator.vif.set_active(task, id_, vif, active=True)
        simulator.vif.plug(task, id_, vif)
    simulator.vm.create_device_model(task, vm, devices, save_state=False)
    simulator.vm.set_domain_action_request(vm, None)


if __name__ == "__main__":
    main()
