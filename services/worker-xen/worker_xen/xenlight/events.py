"""Events: when domains end or go away, libxl tells."""

import os
import threading
from collections.abc import Callable
from typing import Any

from worker_xen.xenlight.libxl import Libxl


class Watch:
    """Hears when domains end or go away, in a thread of its own."""

    def __init__(self, libxl: Libxl, on_end: Callable[[int], None]) -> None:
        """Begin; `on_end` is told a domain's number, from that thread."""
        self._libxl = libxl
        self._on_end = on_end
        self._context = libxl.open()
        self._generators: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._wake = os.eventfd(0)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="xenlight-events", daemon=True)
        self._thread.start()

    def follow(self, domid: int) -> None:
        """Hear of a domain from now on. Errors: `LibxlError`."""
        lib, ffi = self._libxl.lib, self._libxl.ffi
        generator = ffi.new("libxl_evgen_domain_death **")
        with self._lock:
            if domid in self._generators:
                return
            code = lib.libxl_evenable_domain_death(self._context.pointer, domid, domid, generator)
            self._libxl.check("watch a domain", code, self._context)
            self._generators[domid] = generator
        os.eventfd_write(self._wake, 1)  # the thread polls what there was to poll before

    def forget(self, domid: int) -> None:
        """Hear of it no more."""
        with self._lock:
            generator = self._generators.pop(domid, None)
        if generator is not None:
            self._libxl.lib.libxl_evdisable_domain_death(self._context.pointer, generator[0])

    def stop(self) -> None:
        """End the thread, and let go."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        for domid in list(self._generators):
            self.forget(domid)
        self._libxl.lib.xenops_close(self._context.pointer, self._context.log)
        os.close(self._wake)

    def _run(self) -> None:
        lib, ffi = self._libxl.lib, self._libxl.ffi
        event = ffi.new("libxl_event **")
        while lib.xenops_next_event(self._context.pointer, self._wake, event) == 0:
            if event[0] != ffi.NULL:
                domid = int(event[0].for_user)
                lib.libxl_event_free(self._context.pointer, event[0])
                self._on_end(domid)
                continue
            os.eventfd_read(self._wake)
            if self._stopping:
                return
