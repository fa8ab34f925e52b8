"""Load: clients that lead VMs through their lives whatever happens, and remember what they were promised."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Self

from bus.ports import BusError
from engine.conformance.samples import sample_vbd, sample_vm
from history import Promise
from room import PATIENCE_S, QUIET_S, Room, eventually
from schema.fault import XenopsError
from schema.ids import InstanceName, TaskId
from schema.objects.disk import LocalDisk
from schema.objects.dynamic import VmObject
from schema.objects.errors import DoesNotExist
from schema.objects.task import Completed, Pending
from schema.objects.vm import PowerState
from xenops.client import Client

LIVE = (PowerState.RUNNING, PowerState.PAUSED)


def add_vm(client: Client, vm: str) -> None:
    """A VM with a disk; as often as need be."""
    client.vm.add(sample_vm(vm))
    client.vbd.add(sample_vbd(vm=vm))


def is_valid(client: Client, vm: str) -> bool:
    """Whether a VM is in a state that an operator recognises: all of it lives, or nothing does."""
    state = client.vm.stat(vm)[1]
    lives = state.power_state in LIVE
    plugged = client.vbd.stat(sample_vbd(vm=vm).id)[1].plugged
    keeps_domain = lives or state.power_state is PowerState.SUSPENDED  # the simulator keeps its number
    return len(state.domids) == int(keeps_domain) and plugged is lives


class Life:
    """One client with one VM: it starts, unpauses, reboots, suspends, resumes, shuts down, in turn."""

    def __init__(self, client: Client, directory: str, stop: threading.Event) -> None:
        self.vm = f"vm-{uuid.uuid4()}"
        self.promises: list[Promise] = []
        self.unanswered = 0
        self.forgotten: list[TaskId] = []
        self.failures: list[Exception] = []
        self._client = client
        self._disk = LocalDisk(path=f"{directory}/{self.vm}")
        self._stop = stop
        self._turns = itertools.count()
        self._thread = threading.Thread(target=self._live)

    def begin(self) -> None:
        """Add the VM, and go on with it."""
        eventually(lambda: add_vm(self._client, self.vm))
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of its last task; `stop` was set before."""
        self._thread.join()

    def _live(self) -> None:
        try:
            while not self._stop.is_set():
                self._turn()
        except Exception as error:  # noqa: BLE001  the test tells
            self.failures.append(error)

    def _turn(self) -> None:
        try:
            task = TaskId(int(self._next()()))
        except (BusError, XenopsError):
            self.unanswered += 1  # nothing was promised: it may have been accepted, or not
            self._stop.wait(QUIET_S)
            return
        self.promises.append(Promise(task, self.vm))
        state = await_end(self._client, task)
        if state is None:
            self.forgotten.append(task)
        else:
            self.promises[-1] = replace(self.promises[-1], succeeded=state)

    def _next(self) -> Callable[[], str]:
        client, vm = self._client, self.vm
        match client.vm.stat(vm)[1].power_state:
            case PowerState.HALTED:
                return lambda: client.vm.start(vm)
            case PowerState.PAUSED:
                return lambda: client.vm.unpause(vm)
            case PowerState.SUSPENDED:
                return lambda: client.vm.resume(vm, self._disk)
            case PowerState.RUNNING:
                ways: tuple[Callable[[], str], ...] = (
                    lambda: client.vm.reboot(vm, None),
                    lambda: client.vm.suspend(vm, self._disk),
                    lambda: client.vm.shutdown(vm, None),
                )
                return ways[next(self._turns) % len(ways)]


def await_end(client: Client, task: TaskId) -> bool | None:
    """Whether a task succeeded; None when nobody knows it. Whoever does not answer is asked again."""
    pause, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while True:
        try:
            state = client.task.stat(str(task)).state
        except BusError:
            pass
        except XenopsError as error:
            if isinstance(error.error, DoesNotExist):
                return None
        else:
            if not isinstance(state, Pending):
                return isinstance(state, Completed)
        if time.monotonic() > deadline:
            raise TimeoutError(f"task {task} has not ended within {PATIENCE_S:g} s")
        pause.wait(QUIET_S)


class Mirror:
    """A toolstack in small: follows updates from token to token and looks at each VM that is told of."""

    def __init__(self, client: Client, stop: threading.Event) -> None:
        self.seen: dict[str, PowerState] = {}
        self.failures: list[Exception] = []
        self._client = client
        self._stop = stop
        self._thread = threading.Thread(target=self._follow)

    def begin(self) -> None:
        """Follow."""
        self._thread.start()

    def join(self) -> None:
        """Wait until it has seen all that is told; `stop` was set before."""
        self._thread.join()

    def _follow(self) -> None:
        token: int | None = None
        due: set[str] = set()
        try:
            while True:
                is_over = self._stop.is_set()
                try:
                    _, objects, token = self._client.updates.get(token, 0 if is_over else 1)
                    due |= {changed.id for changed in objects if isinstance(changed, VmObject)}
                    for vm in list(due):
                        self._look(vm)
                        due.discard(vm)
                except (BusError, XenopsError):
                    threading.Event().wait(QUIET_S)
                    continue
                if is_over and not objects:
                    return
        except Exception as error:  # noqa: BLE001  the test tells
            self.failures.append(error)

    def _look(self, vm: str) -> None:
        try:
            self.seen[vm] = self._client.vm.stat(vm)[1].power_state
        except XenopsError as error:
            if not isinstance(error.error, DoesNotExist):
                raise
            self.seen.pop(vm, None)


class Load:
    """Several lives, and a mirror of all VMs."""

    def __init__(self, room: Room, instance: InstanceName, lives: int = 6) -> None:
        self._stop, self._mirror_stop = threading.Event(), threading.Event()
        directory = room.directory / "images"
        directory.mkdir(exist_ok=True)
        self._client = room.client(instance, dbg="load")
        self.lives = [Life(self._client, str(directory), self._stop) for _ in range(lives)]
        self.mirror = Mirror(self._client, self._mirror_stop)

    def __enter__(self) -> Self:
        self.mirror.begin()
        for life in self.lives:
            life.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def ended(self) -> int:
        """How many promised tasks have ended so far."""
        return sum(promise.succeeded is not None for life in self.lives for promise in life.promises)

    def progress(self, tasks: int) -> None:
        """Wait until so many more have ended: then all that is needed works."""
        pause, goal, deadline = threading.Event(), self.ended() + tasks, time.monotonic() + PATIENCE_S
        while self.ended() < goal:
            assert time.monotonic() < deadline, f"no progress: {self.ended()} of {goal} tasks have ended"
            assert not self.failures(), self.failures()
            pause.wait(QUIET_S)

    def end(self) -> None:
        """No new tasks; wait for those under way."""
        self._stop.set()
        for life in self.lives:
            life.join()

    def settle(self) -> None:
        """The mirror sees what was told last, now that nothing goes on any more."""
        self._mirror_stop.set()
        self.mirror.join()

    def failures(self) -> list[Exception]:
        """What clients met that they could not bear."""
        return [error for life in self.lives for error in life.failures] + self.mirror.failures

    @property
    def promises(self) -> list[Promise]:
        """Of all clients."""
        return [promise for life in self.lives for promise in life.promises]
