"""Room: services as processes, several of each where wanted, that killed, paused and started by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bus.ports import BusError
from bus.rabbit import RabbitBus
from engine.hook_names import HookName
from forge import Forge, Forked
from schema.fault import XenopsError
from schema.ids import InstanceName
from xenops.client import Client

HERE = InstanceName("org.xen.xapi.xenops.here")
THERE = InstanceName("org.xen.xapi.xenops.there")
PATIENCE_S = 90.0
QUIET_S = 0.05
CALL_TIMEOUT_S = 5.0

FLUSHED_S = 2.0
"""RabbitMQ 3.10 loses the first streams of its life for good if it is killed before they are a second old."""

BUG_LETTERS = 4_000
"""So much of what a service has logged of a bug is told."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """One process: what it is called here, what it runs, which instances it serves, what else it is told.

    `wrap` is a command that becomes it.
    """

    name: str
    module: str
    instances: tuple[InstanceName, ...] = (HERE,)
    environment: Mapping[str, str] = field(default_factory=dict)
    wrap: tuple[str, ...] = ()


def usual_parts(copies: int = 1) -> tuple[Part, ...]:
    """Every service of one instance, those that may be several `copies` times."""
    twice = [
        Part(f"{module}{number or ''}", module)
        for module in ("redirector", "eventhub", "frontend")
        for number in range(copies)
    ]
    return (*twice, Part("worker", "worker_sim"))


class Room:
    """Processes on a broker; what they say goes into files. With a forge they start without imports."""

    def __init__(
        self, directory: Path, url: str, parts: tuple[Part, ...], forge: Forge | None = None
    ) -> None:
        self._forge = forge
        self.directory = directory
        self.url = url
        self.parts = {part.name: part for part in parts}
        self.processes: dict[str, subprocess.Popen[bytes] | Forked] = {}
        self.instances = tuple(dict.fromkeys(name for part in parts for name in part.instances))
        self.urls: dict[str, str] = {}
        self.bus: RabbitBus | None = None
        for instance in self.instances:
            self._write_hooks(self.place(instance))

    def open(self) -> None:
        """Start all, and wait until they answer."""
        for name in self.parts:
            self.start(name)
        self.bus = RabbitBus(self.url, "faults")
        self.await_answers()

    def place(self, instance: str) -> Path:
        """What is an instance's own; names of sockets are short, so its last word is."""
        return self.directory / instance.rpartition(".")[2]

    def client(
        self, instance: str = HERE, *, dbg: str = "faults", timeout_s: float = CALL_TIMEOUT_S
    ) -> Client:
        """A client on the room's own connection."""
        assert self.bus is not None
        return Client(self.bus, instance, dbg=dbg, timeout_s=timeout_s)

    def await_answers(self) -> None:
        """Wait until worker, frontend and event hub of each instance answer."""
        for instance in self.instances:
            client = self.client(instance)
            eventually(client.vm.list)
            eventually(client.updates.last_id)

    def start(self, name: str, more: Mapping[str, str] | None = None) -> None:
        """Start one that does not run, told `more`."""
        part = self.parts[name]
        assert self.lives(name) is False
        environment = os.environ | self._told(part) | dict(part.environment) | dict(more or {})
        words = self.directory / f"{name}.log"
        if self._forge is not None:
            self.processes[name] = self._forge.start(part.module, environment, words)
            return
        with words.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*part.wrap, sys.executable, "-m", part.module],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _told(self, part: Part) -> dict[str, str]:
        place = self.place(part.instances[0])
        told = {
            "XENOPS_BROKER": self.urls.get(part.name, self.url),
            "XENOPS_INSTANCE": ",".join(part.instances),
        }
        if part.module.startswith("worker"):
            told["XENOPS_STATE_DIR"] = str(place / "state")
            told["XENOPS_HOOKS_DIR"] = str(place / "hooks")
            told["XENOPS_WORKER"] = part.name
        return told

    def kill(self, name: str) -> None:
        """End one as a crash would."""
        process = self.processes[name]
        process.kill()
        process.wait()

    def restart(self, name: str, more: Mapping[str, str] | None = None) -> None:
        """A crash, and a new life."""
        self.kill(name)
        self.start(name, more)

    def await_ready(self, name: str) -> None:
        """Wait until one is more than a Python that imports."""
        process = self.processes[name]
        eventually(lambda: assert_listens(process.pid))

    def end(self, name: str) -> int:
        """Tell one to end, once it can hear that; answers its exit code."""
        self.await_ready(name)
        process = self.processes[name]
        process.terminate()
        return process.wait(PATIENCE_S)

    def pause(self, name: str) -> None:
        """Let one stand still, as a host that is overloaded does."""
        self.processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let it go on."""
        self.processes[name].send_signal(signal.SIGCONT)

    def lives(self, name: str) -> bool:
        """Whether it runs."""
        process = self.processes.get(name)
        return process is not None and process.poll() is None

    def dead(self) -> list[str]:
        """Who has ended."""
        return [name for name in self.parts if not self.lives(name)]

    def words(self) -> str:
        """All that the services have logged."""
        return "".join(path.read_text() for path in sorted(self.directory.glob("*.log")))

    def bug(self) -> str:
        """The first traceback that a service has logged, and what follows; nothing if there is none."""
        _, bug, rest = self.words().partition("Traceback")
        return bug + rest[:BUG_LETTERS]

    def words_of(self, name: str) -> str:
        """What one has logged."""
        return (self.directory / f"{name}.log").read_text()

    def hooks_run(self, instance: str) -> list[tuple[str, str]]:
        """What scripts were run for which VM, oldest first: the hypervisor's side of the story."""
        path = self.place(instance) / "hooks.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(words[0], words[1]) for words in map(str.split, lines)]

    def close(self) -> None:
        """End all."""
        for name in self.processes:
            if self.lives(name):
                self.resume(name)
                self.processes[name].terminate()
        for process in self.processes.values():
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.bus is not None:
            self.bus.close()

    @staticmethod
    def _write_hooks(place: Path) -> None:
        """A script for each hook that notes that it ran: one line, so that each is whole."""
        for hook in HookName:
            script = place / "hooks" / hook / "note"
            script.parent.mkdir(parents=True)
            script.write_text(f'#!/bin/sh\necho "{hook} $2" >> {place}/hooks.log\n')
            script.chmod(0o755)


def assert_listens(pid: int) -> None:
    """A process that has not ended catches SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    assert int(caught, 16) >> (signal.SIGTERM - 1) & 1, f"process {pid} does not listen yet"


def eventually(holds: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """What it answers once it does so without an error."""
    pause, deadline = threading.Event(), time.monotonic() + patience_s
    while True:
        try:
            return holds()
        except (AssertionError, BusError, XenopsError):
            if time.monotonic() > deadline:
                raise
            pause.wait(QUIET_S)
