"""QEMU: a room whose worker runs real QEMUs, for sweeps of its crash points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.conformance.samples import sample_vbd, sample_vm
from forge import Forge
from room import HERE, Part, Room
from schema.objects.disk import LocalDisk
from sweep import KINDS, REBOOT, RESUME, SHUTDOWN, START, SUSPEND, Operation, Sweep, Target
from worker_kvm.accelerator import QemuMissingError, find_qemu
from worker_kvm.qemu.sweep import end_domains
from xenops.client import Client

WORKER = "worker"
OPERATIONS: tuple[Operation, ...] = (START, SHUTDOWN, REBOOT, SUSPEND, RESUME)
TARGETS = tuple(Target(WORKER, kind) for kind in KINDS[WORKER])
_MEMORY_BYTES = 32 << 20
_DISK_BYTES = 1 << 20


def why_not() -> str | None:
    """Why QEMU cannot be had here, if it cannot."""
    try:
        find_qemu()
    except QemuMissingError as error:
        return str(error)
    return None


@contextmanager
def qemu_sweep(place: Path, url: str) -> Iterator[Sweep]:
    """A sweep of a worker on QEMU, emulated; its VMs have a disk each, and end with it."""
    told = {
        "XENOPS_KVM_NETWORK": "user",
        "XENOPS_KVM_ACCELERATOR": "tcg",
        "XENOPS_RUN_DIR": str(place / "run"),
    }
    others = tuple(Part(name, name) for name in ("redirector", "eventhub", "frontend"))
    parts = (*others, Part(WORKER, "worker_kvm", (HERE,), told))
    with Forge(part.module for part in parts) as forge:
        room = Room(place, url, parts, forge)
        try:
            room.open()
            sweep = Sweep(room, _adder(place))
            yield sweep
            sweep.close()
        finally:
            room.close()
            end_domains(place / "run")


def _adder(place: Path) -> Callable[[Client, str], None]:
    def add(client: Client, vm: str) -> None:
        image = place / f"{vm}.raw"
        with image.open("wb") as file:
            file.truncate(_DISK_BYTES)
        memory = dict.fromkeys(
            ("memory_static_max", "memory_dynamic_max", "memory_dynamic_min"), _MEMORY_BYTES
        )
        client.vm.add(sample_vm(vm, **memory, vcpus=1, vcpu_max=1))
        client.vbd.add(sample_vbd(vm=vm, backend=LocalDisk(path=str(image))))

    return add
