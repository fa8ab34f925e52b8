"""Lives: the domains of ours that libvirt has, by UUID.

A VM's domains have one UUID, one after the other: libvirt may tell of the end of one that we have ended when
the next one is there already, which must not be taken for the end of that.
"""

import threading
import time
from collections.abc import Callable, Iterator

from virt.values import Ended, VirtEvent

from worker_kvm.libvirt.live import Live

HEARD_WITHIN_S = 60.0
"""The end of what we have ended is told within this time; a later one is another's."""


class Lives:
    """Safe for any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._lives: dict[str, Live] = {}
        self._untold: dict[str, float] = {}
        """Until when the end of one that we have ended is waited for."""

    def __contains__(self, uuid: str) -> bool:
        return uuid in self._lives

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._lives))

    def get(self, uuid: str) -> Live | None:
        """A domain that libvirt has."""
        return self._lives.get(uuid)

    def add(self, live: Live) -> Live:
        """Libvirt has, or is about to have, a domain; answers it."""
        self._lives[live.uuid] = live
        return live

    def forget(self, uuid: str) -> None:
        """Libvirt has it no more, or has never had it."""
        self._lives.pop(uuid, None)

    def end(self, uuid: str) -> None:
        """The same, by our doing: libvirt tells of that, or has done so."""
        with self._lock:
            live = self._lives.pop(uuid, None)
            if live is not None and not live.is_over:
                self._untold[uuid] = self._clock() + HEARD_WITHIN_S

    def hear(self, event: VirtEvent) -> None:
        """From libvirt."""
        with self._lock:
            is_earlier = isinstance(event, Ended) and self._untold.pop(event.uuid, 0.0) > self._clock()
            live = None if is_earlier else self._lives.get(event.uuid)
        if live is not None:
            live.on_event(event)

    def begin_anew(self) -> None:
        """Events may have been missed: none that has not come is waited for."""
        with self._lock:
            self._untold.clear()
