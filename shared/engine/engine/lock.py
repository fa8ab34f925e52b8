"""Lock: one execution of a VM at a time on this host, whatever processes run; freed when its holder dies."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bus.clock import SYSTEM_CLOCK, Clock
from schema.fault import internal_error
from schema.ids import VmId, is_safe_name

LOCK_TIMEOUT_S = 60.0
"""How long to wait for somebody who still runs: a worker that was lost and stands still may hold it."""

_POLL_S = 0.05


class Held:
    """The locks that one task has; more of them in a migration, where a VM's name goes from hand to hand."""

    def __init__(self, directory: Path, clock: Clock, wait: Callable[[float], None]) -> None:
        self._directory = directory
        self._clock = clock
        self._wait = wait
        self._handles: dict[VmId, int] = {}

    def __contains__(self, vm: VmId) -> bool:
        """Whether this task has that VM's lock."""
        return vm in self._handles

    def also(self, vm: VmId, wait: Callable[[float], None] | None = None) -> None:
        """Take a VM's lock, too; `wait` is another way of waiting for it. Errors as of `VmLocks.held`."""
        if vm in self._handles:
            return
        if not is_safe_name(vm):
            raise internal_error(f"{vm!r} cannot name a VM")
        handle = os.open(self._directory / vm, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(handle, vm, wait or self._wait)
        except BaseException:
            os.close(handle)
            raise
        self._handles[vm] = handle

    def release(self, vm: VmId) -> None:
        """Let go of one; not held, nothing to do."""
        handle = self._handles.pop(vm, None)
        if handle is not None:
            os.close(handle)

    def regain(self, vm: VmId, wait: Callable[[float], None] | None = None) -> None:
        """Take a VM's lock again that was let go of; all others go first, for somebody may wait for them.

        Still held, nothing to do. Errors as of `VmLocks.held`.
        """
        if vm not in self._handles:
            self.release_all()
            self.also(vm, wait)

    def release_all(self) -> None:
        """Let go of all."""
        for vm in tuple(self._handles):
            self.release(vm)

    def _acquire(self, handle: int, vm: VmId, wait: Callable[[float], None]) -> None:
        end = self._clock.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
            else:
                return
            if self._clock.monotonic() > end:
                raise internal_error(
                    f"another process has been executing VM {vm} for {LOCK_TIMEOUT_S:g} s: find the worker "
                    "that stands still and end it"
                )
            wait(_POLL_S)


class VmLocks:
    """Locks as files under one directory, one for each VM; the system keeps them."""

    def __init__(self, directory: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self._directory = directory
        self._clock = clock
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextmanager
    def held(self, vm: VmId, wait: Callable[[float], None]) -> Iterator[Held]:
        """Hold a VM's lock; `wait` sleeps for so many seconds, or raises when the task shall stop.

        Raises:
            XenopsError: `Internal_error` when another process holds it for too long.
        """
        held = Held(self._directory, self._clock, wait)
        try:
            held.also(vm)
            yield held
        finally:
            held.release_all()

    def names(self) -> tuple[VmId, ...]:
        """The VMs that there is a file for."""
        return tuple(VmId(path.name) for path in sorted(self._directory.iterdir()))

    def forget(self, vm: VmId) -> None:
        """Remove a VM's file, unless its lock is held; only while no other process takes locks here."""
        path = self._directory / vm
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        except BlockingIOError:
            return
        finally:
            os.close(handle)
