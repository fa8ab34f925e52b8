"""Suspend, resume and live migration on QEMU through the whole, beside bare QMP with the same options.

    python bench/bench_kvm_state.py [ROUNDS]

Two hosts, each a broker and services of its own, send a tiny Linux that runs (96 MiB, a disk, an interface)
to and fro; two bare QEMUs with the same arguments do so over a socket. An operation is timed from its request
to its end; the downtime, by what the QEMUs themselves note, from the moment when the source's guest stops
until the destination's runs. Its first part, until the state is loaded, is QEMU's and the way of the bytes;
its second is the agreement of both hosts, the name and the device model's start.
"""

import argparse
import os
import re
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from bare_qemu import BareQemu, words_of
from bench_qemu import KERNEL, Guest, domain_of, guest
from bus.ports import BusError
from figures import Figures, interleaved, tell
from schema.objects.disk import LocalDisk
from stack.console import Console
from stack.guest import guest_in
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import QEMU_INSTANCE, WORKER_KVM, Network, Shape
from worker_kvm.accelerator import QEMU, Accelerator, QemuMissingError, choose_accelerator, find_qemu
from worker_kvm.downtime import DOWNTIME_MS
from worker_kvm.qemu.outgoing import BANDWIDTH_BYTES_PER_S, CAPABILITIES
from xenops.calls.vm import Destination
from xenops.client import Client
from xenops.events import wait_for_task

PATIENCE_S = 120.0
STATE = "state"
_POLL_S = 0.01

_CHANGE = re.compile(r"@(\d+\.\d+):runstate_set current_run_state \d+ \((.*)\) new_state \d+ \((.*)\)")


@dataclass(frozen=True, slots=True)
class Notes:
    """A QEMU that notes when its guest stops and runs, and what it has noted; one for each party."""

    directory: Path
    qemu: str

    @property
    def program(self) -> Path:
        """To be run instead of QEMU."""
        return self.directory / QEMU

    def make(self) -> None:
        """Write the program."""
        self.directory.mkdir()
        words = f"-msg timestamp=on -trace enable=runstate_set -D {self.directory}/%d.notes"
        self.program.write_text(f'#!/bin/sh\nexec {self.qemu} "$@" {words}\n')
        self.program.chmod(0o700)

    def last_downtime_s(self) -> tuple[float, float]:
        """Of the guest that moved last: until its state was loaded, and from then until it ran.

        Who is told that it has moved may be told before it runs, so that is waited for.
        """
        end = time.monotonic() + PATIENCE_S
        while not (moved := self._last_moved()).is_whole:
            if time.monotonic() > end:
                raise SystemExit(f"a guest that has moved did not stop, come and run in turn: {moved}")
            time.sleep(_POLL_S)
        return moved.loaded - moved.stopped, moved.runs - moved.loaded

    def _last_moved(self) -> "_Moved":
        changes = [found for path in self.directory.glob("*.notes") for found in _changes(path)]
        if any(after == "guest-panicked" for _, _, after in changes):
            raise SystemExit("a guest that writes has panicked as it moved, a fault of QEMU's: measure again")
        return _Moved(
            stopped=max(at for at, before, _ in changes if before == "running"),
            loaded=max(at for at, before, _ in changes if before == "inmigrate"),
            runs=max(at for at, _, after in changes if after == "running"),
        )


@dataclass(frozen=True, slots=True)
class _Moved:
    """When a guest was seen last to stop, to have come, and to run; in seconds since the epoch."""

    stopped: float
    loaded: float
    runs: float

    @property
    def is_whole(self) -> bool:
        return self.stopped < self.loaded < self.runs


def _changes(path: Path) -> Iterator[tuple[float, str, str]]:
    for found in _CHANGE.finditer(path.read_text()):
        yield float(found[1]), found[2], found[3]


@dataclass(slots=True)
class Downtimes:
    """What was noted of each migration, in seconds."""

    notes: Notes
    loading: list[float] = field(default_factory=list)
    agreeing: list[float] = field(default_factory=list)

    def note(self) -> None:
        """The migration that has just ended."""
        loading, agreeing = self.notes.last_downtime_s()
        self.loading.append(loading)
        self.agreeing.append(agreeing)

    def tell(self, label: str, peer: "Downtimes | None" = None) -> None:
        """Print the whole and its parts."""
        parts = ("  until the state is loaded", "  from then until the guest runs")
        theirs = (None, None, None) if peer is None else peer.figures
        for line, figures, their in zip((label, *parts), self.figures, theirs, strict=True):
            tell(line, figures, their)

    @property
    def wholes(self) -> list[float]:
        """Both parts of each."""
        return [sum(parts) for parts in zip(self.loading, self.agreeing, strict=True)]

    @property
    def figures(self) -> tuple[Figures, Figures, Figures]:
        """The whole, and its two parts."""
        return Figures.of(self.wholes), Figures.of(self.loading), Figures.of(self.agreeing)


class Bare:
    """A guest on QEMUs that nothing but this script drives."""

    def __init__(self, notes: Notes, accelerator: Accelerator, guest: Guest, directory: Path) -> None:
        self.stood = Downtimes(notes)
        self._program, self._accelerator = str(notes.program), accelerator
        self._domain, self._directory = domain_of(guest), directory
        self._image, self._count = directory / "bare.image", 0
        self._here = self._started()

    @property
    def console(self) -> str:
        """Where the guest speaks."""
        return str(self._directory / f"bare-{self._count}" / "console")

    def unpause(self) -> None:
        """Let the guest run."""
        self._here.do("cont")

    def suspend(self) -> None:
        """The guest to a file, on the disk, and QEMU's end."""
        self._here.do("stop")
        with self._image.open("wb") as image:
            self._send_to(image.fileno())
            self._hand_over()
            os.fsync(image.fileno())
        self._here.quit()

    def resume(self) -> None:
        """The guest from its file, paused."""
        self._here = self._started(awaits_state=True)
        with self._image.open("rb") as image:
            self._take_from(self._here, image.fileno(), takes_disks=True)
        self._here.until("completed")

    def migrate(self) -> None:
        """The guest to another QEMU, where it runs."""
        there = self._started(awaits_state=True)
        left, right = socket.socketpair()
        with left, right:
            self._take_from(there, right.fileno(), takes_disks=False)
            self._send_to(left.fileno())
        self._hand_over()
        there.until("completed")
        there.do("cont")
        self._here.quit()
        self._here = there

    def close(self) -> None:
        """End it."""
        self._here.end()

    def _started(self, *, awaits_state: bool = False) -> BareQemu:
        self._count += 1
        directory = self._directory / f"bare-{self._count}"
        words = words_of(self._domain, self._accelerator, directory, awaits_state=awaits_state)
        return BareQemu(self._program, directory / "qmp", words)

    def _send_to(self, file: int) -> None:
        enable(self._here, *CAPABILITIES)
        bounds = {"max-bandwidth": BANDWIDTH_BYTES_PER_S, "downtime-limit": DOWNTIME_MS}
        self._here.do("migrate-set-parameters", bounds)
        self._here.give(file, STATE)
        self._here.do("migrate", {"uri": f"fd:{STATE}"})

    def _hand_over(self) -> None:
        self._here.until("pre-switchover")
        self._here.do("migrate-continue", {"state": "pre-switchover"})
        self._here.until("completed")

    @staticmethod
    def _take_from(qemu: BareQemu, file: int, *, takes_disks: bool) -> None:
        enable(qemu, "events", *(() if takes_disks else ("late-block-activate",)))
        qemu.do("migrate-set-parameters", {"announce-rounds": 1})
        qemu.give(file, STATE)
        qemu.do("migrate-incoming", {"uri": f"fd:{STATE}"})


def enable(qemu: BareQemu, *names: str) -> None:
    """Switch capabilities of migrations on."""
    capabilities = [{"capability": name, "state": True} for name in names]
    qemu.do("migrate-set-capabilities", {"capabilities": capabilities})


@dataclass(slots=True)
class Host:
    """One of ours."""

    layout: Layout
    client: Client

    def done(self, task: str) -> None:
        """Wait for a task, which is remembered."""
        wait_for_task(self.client, task, PATIENCE_S, destroy=False)


class Whole:
    """A guest on two hosts of ours."""

    def __init__(self, hosts: tuple[Host, Host], notes: Notes, guest: Guest, image: Path) -> None:
        self.stood = Downtimes(notes)
        self._image = LocalDisk(path=str(image))
        here, _ = self._here, self._there = hosts
        self._vm = here.client.vm.add(guest.vm)
        here.client.vbd.add(guest.vbd)
        here.client.vif.add(guest.vif)
        here.done(here.client.vm.start(self._vm))

    @property
    def console(self) -> str:
        """Where the guest speaks."""
        return str(self._here.client.vm.stat(self._vm)[1].consoles[-1].path)

    def unpause(self) -> None:
        """Let the guest run."""
        self._here.done(self._here.client.vm.unpause(self._vm))

    def suspend(self) -> None:
        """From the request to the task's end."""
        self._here.done(self._here.client.vm.suspend(self._vm, self._image))

    def resume(self) -> None:
        """From the request to the task's end."""
        self._here.done(self._here.client.vm.resume(self._vm, self._image))

    def migrate(self) -> None:
        """From the request to the task's end."""
        destination = Destination(f"unix://{self._there.layout.door}")
        self._here.done(self._here.client.vm.migrate(self._vm, destination))
        self._here, self._there = self._there, self._here


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(description="suspend, resume and migration on QEMU beside bare QMP")
    parser.add_argument("rounds", type=int, nargs="?", default=20, help="how often each is done")
    rounds = parser.parse_args().rounds
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
            measure(Path(name), qemu, accelerator, rounds)
        except BusError as error:
            raise SystemExit(str(error)) from error


def measure(directory: Path, qemu: str, accelerator: Accelerator, rounds: int) -> None:
    """Everything once a round, in turn."""
    ours, bares = Notes(directory / "ours", qemu), Notes(directory / "bare", qemu)
    for notes in (ours, bares):
        notes.make()
    shape = Shape({WORKER_KVM: QEMU_INSTANCE}, Network.USER, accelerator)
    told = {"PATH": f"{ours.directory}:{os.environ['PATH']}"}
    here, there = Layout(directory / "a"), Layout(directory / "b")
    with (
        LocalStack(here, shape, environment=told) as stack,
        stack.client(QEMU_INSTANCE) as client,
        LocalStack(there, shape, environment=told) as other,
        other.client(QEMU_INSTANCE) as other_client,
    ):
        hosts = Host(here, client), Host(there, other_client)
        whole = Whole(hosts, ours, linux(str(uuid.uuid4()), directory), directory / "ours.image")
        bare = Bare(bares, accelerator, linux("bare", directory), directory)
        try:
            for each in (whole, bare):
                boot(each.console, each.unpause, directory / "transcript")
            run(rounds, bare, whole)
        finally:
            bare.close()


def run(rounds: int, bare: Bare, whole: Whole) -> None:
    """Do all, and tell."""
    times = interleaved(
        rounds,
        bare.suspend,
        (bare.resume, bare.unpause),
        whole.suspend,
        (whole.resume, whole.unpause),
        (bare.migrate, bare.stood.note),
        (whole.migrate, whole.stood.note),
    )
    bare_suspend, bare_resume, suspend, resume, bare_migrate, migrate = times
    tell("peer: bare QMP, stop, state to a file, quit", bare_suspend)
    tell("VM.suspend through the whole", suspend, bare_suspend)
    tell("peer: bare qemu, state from a file", bare_resume)
    tell("VM.resume through the whole", resume, bare_resume)
    tell("peer: bare qemu, migration, quit", bare_migrate)
    tell("VM.migrate through both wholes", migrate, bare_migrate)
    bare.stood.tell("peer: downtime of the bare migration")
    whole.stood.tell("downtime of VM.migrate", bare.stood)


def linux(name: str, directory: Path) -> Guest:
    """The tiny Linux with a disk and an interface."""
    found = guest(name, directory)
    ty = guest_in(KERNEL.parent).builder()
    return replace(found, vm=found.vm.model_copy(update={"ty": ty}))


def boot(console: str, unpause: Callable[[], None], transcript: Path) -> None:
    """Let a guest run, until it says that it is up."""
    with Console(console, transcript) as lines:
        unpause()
        with suppress(StopIteration):
            next(line for line in lines.lines(PATIENCE_S) if "userland is up" in line)
            return
    raise SystemExit("the guest does not come up")


if __name__ == "__main__":
    main()
