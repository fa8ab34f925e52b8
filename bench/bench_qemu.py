"""VM.start on QEMU, by the backend alone and through the whole, beside a bare `qemu -S` and its handshake.

    python bench/bench_qemu.py [ROUNDS]

Each round starts one of each, so that what else the machine does hits all alike. All VMs are alike, too:
96 MiB, a kernel, a raw disk, an interface, and they stay paused. The bare QEMU is started twice: with our
devices, which is what the time of ours is to be held against, and with none, the floor of QEMU itself.
"""

import argparse
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bus.ports import BusError
from engine.backend import Backend, CreateOptions, Devices
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_vm
from figures import interleaved, tell
from schema.ids import DeviceId, VmId
from schema.objects.disk import BusType, LocalDisk
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import DirectBoot, PvDirectBoot, Pvh, PvInfo, Vm
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import QEMU_INSTANCE, WORKER_KVM, Network, Shape
from worker_kvm.accelerator import Accelerator, QemuMissingError, choose_accelerator, find_qemu
from worker_kvm.qemu.backend import Qemu
from worker_kvm.qemu.hypervisor import QemuSettings
from worker_kvm.qemu.machine import NIC_PORTS
from xenops.client import Client
from xenops.events import wait_for_task

KERNEL = Path(__file__).resolve().parent.parent / "var" / "guest" / "vmlinuz"
MIB = 1 << 20
PATIENCE_S = 60.0
POLL_S = 0.001


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
    """A QEMU that does nothing but come up; `options` are its devices."""

    def __init__(self, qemu: str, directory: Path, options: list[str]) -> None:
        self._socket = directory / "bare"
        self._command = [
            *(qemu, "-nodefaults", "-no-user-config", "-display", "none", "-S", "-machine", "q35"),
            *("-m", "96", "-qmp", f"unix:{self._socket},server=on,wait=off", *options),
        ]

    def start(self) -> None:
        """Start it, shake hands, and ask whether it waits."""
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        with self._connected() as line, line.makefile("rw") as monitor:
            monitor.readline()
            for command in ("qmp_capabilities", "query-status"):
                monitor.write(json.dumps({"execute": command}))
                monitor.flush()
                assert "return" in json.loads(monitor.readline())

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            line = socket.socket(socket.AF_UNIX)
            try:
                line.connect(str(self._socket))
            except OSError:
                line.close()
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the bare QEMU does not come up; its words are above") from None
                time.sleep(POLL_S)
            else:
                with line:
                    yield line
                return


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

    def start(self) -> None:
        """From the request to the task's end."""
        wait_for_task(self._client, self._client.vm.start(self._vm), PATIENCE_S)

    def stop(self) -> None:
        """By force, at once."""
        wait_for_task(self._client, self._client.vm.shutdown(self._vm), PATIENCE_S)


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
    accelerated = ["-accel", accelerator]
    with LocalStack(Layout(directory / "s"), shape) as stack, stack.client(QEMU_INSTANCE) as client:
        alone = Alone(Qemu(settings), guest("alone", directory))
        starts = (
            Bare(qemu, directory, accelerated),
            Bare(qemu, directory, [*accelerated, *devices_like_ours(directory)]),
            alone,
            Whole(client, guest("whole", directory)),
        )
        floor, bare, backend, whole = interleaved(rounds, *((each.start, each.stop) for each in starts))
        alone.backend.stop()
    tell("peer: bare qemu -S, no device, handshake", floor)
    tell("peer: bare qemu -S, our devices, handshake", bare)
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


def devices_like_ours(directory: Path) -> list[str]:
    """Options for what each VM of the worker has."""
    disk = raw_disk(directory, "bare")
    drive = f"driver=raw,node-name=disk,file.driver=file,file.filename={disk}"
    ports = [
        word
        for port in range(NIC_PORTS)
        for word in ("-device", f"pcie-root-port,id=port{port},chassis={port + 1},slot={port}")
    ]
    return [
        *("-kernel", str(KERNEL), *ports, "-device", "virtio-scsi-pci", "-device", "virtio-balloon-pci"),
        *("-blockdev", drive, "-device", "scsi-hd,drive=disk"),
        *("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,bus=port0"),
    ]


if __name__ == "__main__":
    main()
