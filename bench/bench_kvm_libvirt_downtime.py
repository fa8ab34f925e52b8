"""How long a guest on libvirt stands still when it migrates, beside libvirt's own `virDomainMigrate3`.

    python bench/bench_kvm_libvirt_downtime.py [ROUNDS] [--size MIB]

As root. Two hosts of ours, a broker, services and a libvirtd each, send a tiny Linux to and fro; two more
libvirtds do so with such a domain by libvirt's one call, which commands both. Downtime is by what the QEMUs
note (see `bench_kvm_state.py`). With `--writes` the guests keep writing memory (see `bench_kvm_downtime.py`).
"""

import argparse
import os
import uuid
from contextlib import ExitStack
from pathlib import Path

import libvirt  # type: ignore[import-untyped]
from bench_kvm_downtime import sized, write
from bench_kvm_libvirt import INSTANCE, machine_like_ours, on_libvirtds
from bench_kvm_state import Downtimes, Host, Notes, Whole, boot, linux
from bench_qemu import Guest
from figures import interleaved, tell
from stack.layout import Layout
from stack.libvirtd import LibvirtDaemon
from stack.local import LocalStack
from stack.shape import WORKER_KVM, Network, Shape
from virt.xml import written
from worker_kvm.accelerator import Accelerator, choose_accelerator, find_qemu
from worker_kvm.downtime import DOWNTIME_MS
from worker_kvm.libvirt.document import Surroundings, domain_document

UUID = "6d1d6d4c-3d0a-4d0c-8a1e-0c2f3b8f1a12"

FLAGS = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_UNSAFE | libvirt.VIR_MIGRATE_AUTO_CONVERGE
"""The same as ours but for `PAUSED`: nobody is asked before the guest runs there."""


class Bare:
    """A guest on two libvirtds, which libvirt's library in this process commands."""

    def __init__(
        self, hosts: list[LibvirtDaemon], notes: Notes, guest: Guest, accelerator: Accelerator
    ) -> None:
        self.stood = Downtimes(notes)
        self._hosts = [(daemon.directory, libvirt.open(daemon.uri)) for daemon in hosts]
        domain = machine_like_ours(guest, UUID).living()
        self._words = {
            directory: written(
                domain_document(
                    domain,
                    Surroundings("bare", guest.vm.id, accelerator, bridged=False, console=place(directory)),
                )
            )
            for directory, _ in self._hosts
        }
        directory, connection = self._hosts[0]
        self._domain = connection.createXML(self._words[directory], libvirt.VIR_DOMAIN_START_PAUSED)

    @property
    def console(self) -> str:
        """Where the guest speaks, before it moves."""
        return str(place(self._hosts[0][0]))

    def unpause(self) -> None:
        """Let the guest run."""
        self._domain.resume()

    def migrate(self) -> None:
        """The guest to the other libvirtd, where it runs."""
        self._hosts.reverse()
        directory, connection = self._hosts[0]
        words = {"migrate_uri": f"unix://{directory}/state", "destination_xml": self._words[directory]}
        self._domain.migrateSetMaxDowntime(DOWNTIME_MS)
        self._domain = self._domain.migrate3(connection, words, FLAGS)

    def close(self) -> None:
        """Hang up."""
        for _, connection in self._hosts:
            connection.close()


def place(directory: Path) -> Path:
    """The console of a host's guest."""
    return directory / "bare"


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(description="downtime on libvirt beside libvirt's own migration")
    parser.add_argument("rounds", type=int, nargs="?", default=20, help="how often each migrates")
    parser.add_argument("--size", type=int, default=128, help="of the guest, in MiB")
    parser.add_argument("--writes", action="store_true", help="memory, again and again")
    asked = parser.parse_args()
    on_libvirtds(lambda directory: measure(directory, asked))


def measure(directory: Path, asked: argparse.Namespace) -> None:
    """Each in turn."""
    qemu, mib = find_qemu(), asked.size
    accelerator = choose_accelerator(qemu)
    print(f"libvirt, QEMU by {accelerator}")
    notes = Notes(directory / "notes", qemu)
    notes.make()
    os.environ["PATH"] = f"{notes.directory}:{os.environ['PATH']}"  # where libvirtd looks for QEMU
    shape = Shape({WORKER_KVM: INSTANCE}, Network.USER, accelerator)
    with ExitStack() as opened:
        hosts = []
        for name in ("a", "b"):
            daemon = opened.enter_context(LibvirtDaemon(directory / f"{name}-d"))
            told = {
                "XENOPS_BACKEND": "libvirt",
                "XENOPS_LIBVIRT_URI": daemon.uri,
                "XENOPS_LIBVIRT_LOGS": str(daemon.logs),
            }
            layout = Layout(directory / name)
            stack = opened.enter_context(LocalStack(layout, shape, environment=told))
            hosts.append(Host(layout, opened.enter_context(stack.client(INSTANCE))))
        daemons = [opened.enter_context(LibvirtDaemon(directory / f"{name}-d")) for name in ("c", "d")]
        ours = sized(linux(str(uuid.uuid4()), directory), mib)
        whole = Whole((hosts[0], hosts[1]), notes, ours, directory / "image")
        bare = Bare(daemons, notes, sized(linux("bare", directory), mib), accelerator)
        opened.callback(bare.close)
        for each in (whole, bare):
            boot(each.console, each.unpause, directory / "transcript")
            if asked.writes:
                write(each.console, mib, directory / "transcript")
        took, our_took = interleaved(
            asked.rounds, (bare.migrate, bare.stood.note), (whole.migrate, whole.stood.note)
        )
    tell(f"peer: libvirt's own migration, {mib} MiB", took)
    tell(f"VM.migrate on libvirt, {mib} MiB", our_took, took)
    bare.stood.tell("peer: downtime of libvirt's own migration")
    whole.stood.tell("downtime of VM.migrate on libvirt", bare.stood)


if __name__ == "__main__":
    main()
