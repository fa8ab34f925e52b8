"""Handles: libxenctrl's, of which each serves one thread at a time, and what it says when a call fails."""

import errno
import os
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worker_xen.binding import BindingError, load
from worker_xen.libxc.library import libxc_binding
from worker_xen.libxc.port import XenError
from worker_xen.libxc.versions import complaint_about


class Handles:
    """A pool of them, from which each call takes one; safe for any thread."""

    def __init__(self, bindings: Path) -> None:
        """Reach the hypervisor by the binding in that directory. Errors: `BindingError`."""
        module: Any = load(libxc_binding(), bindings)
        self._ffi, self._lib = module.ffi, module.lib
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        handle = self._open()
        self._idle.put(handle)
        number = int(self._lib.xo_version(handle))
        self.version = (number >> 16, number & 0xFFFF)
        complaint = complaint_about(self.version)
        if complaint is not None:
            raise BindingError(complaint)

    def close(self) -> None:
        """Let go of all handles that nobody uses."""
        while not self._idle.empty():
            self._lib.xo_close(self._idle.get())

    def _do(self, what: str | Callable[[], str], call: Callable[[Any], int]) -> int:
        """Call on a handle; a negative result is an error, whose words the library may have."""
        with self._handle() as handle:
            result = call(handle)
            if result >= 0:
                return result
            number = self._ffi.errno
            words = self._text(self._lib.xo_last_error(handle)) or os.strerror(number)
        told = what if isinstance(what, str) else what()
        raise XenError(f"Xen did not {told}: {words} ({errno.errorcode.get(number, number)})", number)

    @contextmanager
    def _handle(self) -> Iterator[Any]:
        try:
            handle = self._idle.get_nowait()
        except queue.Empty:
            handle = self._open()
        try:
            yield handle
        finally:
            self._idle.put(handle)

    def _open(self) -> Any:
        handle = self._lib.xo_open()
        if handle == self._ffi.NULL:
            raise BindingError(
                f"the hypervisor does not let itself be asked ({os.strerror(self._ffi.errno)}): run as root "
                "in the control domain of a Xen host, with the module xen-privcmd loaded"
            )
        return handle

    def _text(self, value: Any) -> str:
        return bytes(self._ffi.string(value)).decode(errors="replace")
