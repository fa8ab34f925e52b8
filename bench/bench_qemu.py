"""VM.start on QEMU, by the backend alone and through the whole, beside a bare `qemu -S` and its handshake.

    python bench/bench_qemu.py [ROUNDS]

Each round starts one of each, so that what else the machine does hits all alike. All VMs are alike, too:
96 MiB, a kernel, a raw disk, an interface, and they stay paused. The bare QEMU is started three times: with
our arguments, which is what the time of ours is to be held against; with our environment, too; and without a
device, QEMU's own floor.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bare_qemu import BareQemu, Words, words_of, words_of_none
from bus.ports import BusError
from engine.backend import Backend, CreateOptions, Devices
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_vm
from engine.hosted.machine import Source
from figures import interleaved, tell
from schema.ids import DeviceId, VmId
from schema.objects.disk import BusType, LocalDisk
from schema.objects.dynamic import TaskObject
from schema.objects.task import Pending
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import DirectBoot, PvDirectBoot, Pvh, PvInfo, Vm
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import QEMU_INSTANCE, WORKER_KVM, Network, Shape
from worker_kvm.accelerator import Accelerator, QemuMissingError, choose_accelerator, find_qemu
from worker_kvm.qemu.backend import Qemu
from worker_kvm.qemu.command import ENVIRONMENT
from worker_kvm.qemu.hypervisor import QemuSettings
from worker_kvm.qemu.machine import (
    Domain,
    Machine,
    attached,
    built,
    created,
    plugged,
)
from xenops.client import Client
from xenops.events import outcome_of, wait_for_task

KERNEL = Path(__file__).resolve().parent.parent / "var" / "guest" / "vmlinuz"
MIB = 1 << 20
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Guest:
    """One VM with its devices."""

    vm: Vm
    vbd: Vbd
    vif: Vif

    @property
    def devices(self) -> Devices:
        """Its devices together."""
        return Devices(vbds=(self.vbd,), vifs=(self.vif,))


class Bare:
    """A QEMU that does nothing but come up."""

    def __init__(
        self, qemu: str, monitor: Path, words: Words, environment: Mapping[str, str] | None = None
    ) -> None:
        self._recipe = (qemu, monitor, words, environment)

    def start(self) -> None:
        """Start it, shake hands, and ask whether it waits."""
        self._running = BareQemu(*self._recipe)
        self._running.do("query-status")

    def stop(self) -> None:
        """End it."""
        self._running.end()


class Alone:
    """The backend without anything around it."""

    def __init__(self, backend: Backend, guest: Guest) -> None:
        self._guest = guest
        self._task = SuiteExecution()
        self.backend = backend
        self.backend.start(lambda _: None)

    def start(self) -> None:
        """All verbs of VM.start."""
        backend, guest, task, id_ = self.backend, self._guest, self._task, VmId(self._guest.vm.id)
        backend.vm.create(task, guest.vm, guest.devices, CreateOptions())
        backend.vm.build(task, guest.vm, guest.devices, force=False)
        backend.vbd.set_active(task, id_, guest.vbd, active=True)
        backend.vbd.attach(task, id_, guest.vbd)
        backend.vbd.activate(task, id_, guest.vbd)
        backend.vif.set_active(task, id_, guest.vif, active=True)
        backend.vif.plug(task, id_, guest.vif)
        backend.vm.create_device_model(task, guest.vm, guest.devices, save_state=False)
        backend.vm.set_domain_action_request(guest.vm, None)

    def stop(self) -> None:
        """End the domain."""
        self.backend.vm.destroy_device_model(self._task, self._guest.vm)
        self.backend.vm.destroy(self._task, self._guest.vm)


class Whole:
    """The same through client, broker and services."""

    def __init__(self, client: Client, guest: Guest) -> None:
        self._client = client
        self._vm = client.vm.add(guest.vm)
        client.vbd.add(guest.vbd)
        client.vif.add(guest.vif)
        self._task, self._token = "", client.updates.last_id()

    def start(self) -> None:
        """From the request to the Task.stat that says that it is done, as a client waits that has a token."""
        self._task = self._client.vm.start(self._vm)
        while not self._is_done():
            pass

    def stop(self) -> None:
        """By force, at once; the start's task is forgotten, too."""
        self._client.task.destroy(self._task)
        wait_for_task(self._client, self._client.vm.shutdown(self._vm), PATIENCE_S)
        self._token = self._client.updates.last_id()

    def _is_done(self) -> bool:
        """When there is news. Errors: those of the task."""
        _, objects, self._token = self._client.updates.get(self._token, int(PATIENCE_S))
        if TaskObject(id=self._task) not in objects:
            return False
        seen = self._client.task.stat(self._task)
        return not isinstance(seen.state, Pending) and outcome_of(seen) is not None


def main() -> None:
    """Print one line a figure."""
    asked = arguments()
    if not KERNEL.exists():
        raise SystemExit(f"{KERNEL} is missing: make setup builds it")
    try:
        qemu = find_qemu()
    except QemuMissingError as error:
        raise SystemExit(f"not measured: {error}") from error
    accelerator = choose_accelerator(qemu)
    print(f"QEMU by {accelerator}")
    with tempfile.TemporaryDirectory(prefix="xb") as name:
        try:
            measure(Path(name), qemu, accelerator, asked.rounds)
        except BusError as error:
            raise SystemExit(str(error)) from error


def arguments() -> argparse.Namespace:
    """The sizes."""
    parser = argparse.ArgumentParser(description="VM.start on QEMU beside a bare QEMU")
    parser.add_argument("rounds", type=int, nargs="?", default=30, help="how often each is started")
    return parser.parse_args()


def measure(directory: Path, qemu: str, accelerator: Accelerator, rounds: int) -> None:
    """Start each in turn."""
    shape = Shape(workers={WORKER_KVM: QEMU_INSTANCE}, network=Network.USER)
    settings = QemuSettings(directory / "run", qemu, accelerator, bridged=False, namespace=None)
    words = words_of(domain_of(guest("bare", directory)), accelerator, directory / "bare")
    with LocalStack(Layout(directory / "s"), shape) as stack, stack.client(QEMU_INSTANCE) as client:
        alone = Alone(Qemu(settings), guest("alone", directory))
        starts = (
            Bare(qemu, directory / "none", words_of_none(accelerator)),
            Bare(qemu, directory / "same", words),
            Bare(qemu, directory / "same", words, ENVIRONMENT),
            alone,
            Whole(client, guest("whole", directory)),
        )
        floor, bare, pages, backend, whole = interleaved(
            rounds, *((each.start, each.stop) for each in starts)
        )
        alone.backend.stop()
    tell("peer: bare qemu -S, no device, handshake", floor)
    tell("peer: bare qemu -S, our arguments, handshake", bare)
    tell("peer: the same in our environment", pages, bare)
    tell("VM.start by the QEMU backend alone", backend, bare)
    tell("VM.start through the whole, on QEMU", whole, bare)


def guest(name: str, directory: Path) -> Guest:
    """A VM that boots the tiny guest's kernel."""
    ty = Pvh(info=PvInfo(boot=DirectBoot(boot=PvDirectBoot(kernel=str(KERNEL))), framebuffer=False))
    size = 96 * MIB
    memory = {"memory_static_max": size, "memory_dynamic_max": size, "memory_dynamic_min": size}
    disk = LocalDisk(path=str(raw_disk(directory, name)))
    return Guest(
        vm=sample_vm(name, ty=ty, vcpus=1, vcpu_max=1, **memory),
        vbd=Vbd(id=DeviceId(name, "xvda"), position=(BusType.XEN, 0, 0), backend=disk),
        vif=Vif(id=DeviceId(name, "0"), mac="52:54:00:00:00:01"),
    )


def raw_disk(directory: Path, name: str) -> Path:
    """An empty disk."""
    path = directory / f"{name}.raw"
    path.touch()
    os.truncate(path, 8 * MIB)
    return path


def domain_of(guest: Guest) -> Domain:
    """What the backend would know of a VM when it starts it."""
    disk = guest.vbd.backend
    assert isinstance(disk, LocalDisk)
    machine = built(created(Machine(id=guest.vm.id), guest.vm, 1, 0.0))
    machine = attached(machine, guest.vbd, Source(path=disk.path, format="raw"))
    machine = plugged(machine, guest.vif, bridged=False)
    found = machine.disk(guest.vbd.id)
    assert found is not None
    return machine.with_disk(found.model_copy(update={"activated": True})).living()


if __name__ == "__main__":
    main()
