"""VM.start on libvirt, by the backend alone and through the whole, beside libvirt's own `createXML(PAUSED)`.

    python bench/bench_kvm_libvirt.py [ROUNDS]

All share one libvirtd of the bench's own, as root. Each round starts one of each, so that what else the
machine does hits all alike. The peer gives libvirt such a document as the backend gives it.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench_qemu import KERNEL, Alone, Guest, Whole, guest
from bus.ports import BusError
from engine.hosted.machine import Source
from figures import interleaved, tell
from stack.layout import Layout
from stack.libvirtd import LibvirtDaemon
from stack.local import LocalStack
from stack.shape import WORKER_KVM, Network, Shape
from virt.xml import written
from worker_kvm.accelerator import QemuMissingError, choose_accelerator, find_qemu
from worker_kvm.libvirt.backend import Libvirt
from worker_kvm.libvirt.document import Surroundings, domain_document
from worker_kvm.libvirt.hypervisor import LibvirtSettings
from worker_kvm.libvirt.machine import Domain, Machine, attached, plugged

INSTANCE = "org.xen.xapi.xenops.libvirt"


class Bare:
    """Nothing but libvirt's call, with a document that is written already."""

    def __init__(self, daemon: LibvirtDaemon, settings: LibvirtSettings, guest: Guest) -> None:
        self._client = daemon.client()
        self._uuid = "6d1d6d4c-3d0a-4d0c-8a1e-0c2f3b8f1a11"
        domain = machine_like_ours(guest, self._uuid).living()
        console = daemon.directory / "bare"
        around = Surroundings("bare", guest.vm.id, settings.accelerator, settings.bridged, console)
        self._document = written(domain_document(domain, around))

    def start(self) -> None:
        """From the call to its answer."""
        self._client.create(self._document)

    def stop(self) -> None:
        """End it."""
        self._client.destroy(self._uuid)

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(description="VM.start on libvirt beside createXML")
    parser.add_argument("rounds", type=int, nargs="?", default=30, help="how often each is started")
    rounds = parser.parse_args().rounds
    on_libvirtds(lambda directory: measure(directory, rounds))


def on_libvirtds(measure: Callable[[Path], None]) -> None:
    """Measure in a directory of the bench's own; what is missing ends it in words."""
    if not KERNEL.exists():
        raise SystemExit(f"{KERNEL} is missing: make setup builds it")
    if os.geteuid() != 0:
        raise SystemExit("not measured: libvirtds of the bench's own need root")
    with tempfile.TemporaryDirectory(prefix="xb") as name:
        try:
            measure(Path(name))
        except (BusError, QemuMissingError, OSError) as error:
            raise SystemExit(f"not measured: {error}") from error


def measure(directory: Path, rounds: int) -> None:
    """Start each in turn."""
    accelerator = choose_accelerator(find_qemu())
    print(f"libvirt, QEMU by {accelerator}")
    shape = Shape({WORKER_KVM: INSTANCE}, Network.USER, accelerator)
    with LibvirtDaemon(directory / "d") as daemon:
        settings = LibvirtSettings(
            directory / "run", daemon.uri, daemon.logs, "alone", accelerator, bridged=False
        )
        told = {
            "XENOPS_BACKEND": "libvirt",
            "XENOPS_LIBVIRT_URI": daemon.uri,
            "XENOPS_LIBVIRT_LOGS": str(daemon.logs),
        }
        layout = Layout(directory / "s")
        with LocalStack(layout, shape, environment=told) as stack, stack.client(INSTANCE) as client:
            alone = Alone(Libvirt(settings), guest("alone", directory))
            bare = Bare(daemon, settings, guest("bare", directory))
            starts = (bare, alone, Whole(client, guest("whole", directory)))
            peer, backend, whole = interleaved(rounds, *((each.start, each.stop) for each in starts))
            bare.close()
            alone.backend.stop()
    tell("peer: createXML(PAUSED) of such a document", peer)
    tell("VM.start by the libvirt backend alone", backend, peer)
    tell("VM.start through the whole, on libvirt", whole, peer)


def machine_like_ours(guest: Guest, uuid: str) -> Machine:
    """What the backend would know of a VM when it starts it."""
    disk, vm = guest.vbd.backend, guest.vm
    assert disk is not None
    assert disk.kind == "Local"
    domain = Domain(
        domid=1,
        uuid=uuid,
        life="bare",
        vm=vm,
        created_at=0.0,
        memory_target_bytes=vm.memory_dynamic_max,
        vcpus=vm.vcpus,
    )
    machine = Machine(id=vm.id, domain=domain)
    machine = attached(machine, guest.vbd, Source(path=disk.path, format="raw"))
    machine = plugged(machine, guest.vif, bridged=False)
    found = machine.disk(guest.vbd.id)
    assert found is not None
    return machine.with_disk(found.model_copy(update={"activated": True}))


if __name__ == "__main__":
    main()
