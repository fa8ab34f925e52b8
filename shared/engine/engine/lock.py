"""Lock: one execution of a VM at a time on this host, whatever processes run; freed when its holder dies."""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from schema.fault import internal_error
from schema.ids import VmId, is_safe_name

LOCK_TIMEOUT_S = 60.0
"""How long to wait for somebody who still runs: a worker that was lost and stands still may hold it."""

_POLL_S = 0.05


class VmLocks:
    """Locks as files under one directory, one for each VM; the system keeps them, the files stay."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextmanager
    def held(self, vm: VmId, wait: Callable[[float], None]) -> Iterator[None]:
        """Hold a VM's lock; `wait` sleeps for so many seconds, or raises when the task shall stop.

        Raises:
            XenopsError: `Internal_error` when another process holds it for too long.
        """
        if not is_safe_name(vm):
            raise internal_error(f"{vm!r} cannot name a VM")
        handle = os.open(self._directory / vm, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(handle, vm, wait)
            yield
        finally:
            os.close(handle)

    @staticmethod
    def _acquire(handle: int, vm: VmId, wait: Callable[[float], None]) -> None:
        end = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
            else:
                return
            if time.monotonic() > end:
                raise internal_error(
                    f"another process has been executing VM {vm} for {LOCK_TIMEOUT_S:g} s: find the worker "
                    "that stands still and end it"
                )
            wait(_POLL_S)
