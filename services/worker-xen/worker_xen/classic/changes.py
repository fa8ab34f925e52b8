"""Changes: hears from xenstore that a domain stops or goes, or a guest says something; tells of its VM."""

import logging
import os
import threading
from collections.abc import Callable

from schema.fault import XenopsError
from schema.objects.dynamic import ObjectId, VmObject

from worker_xen.xenstore.daemon import Daemon, Watching
from worker_xen.xenstore.tree import domain_path

_LOG = logging.getLogger(__name__)

RETRY_S = 1.0
"""How soon xenstored is tried again that has gone away."""

_SPECIAL = ("@releaseDomain", "@introduceDomain")
_SAID = ("attr", "data", "memory/uncooperative", "vm-data")
"""Where a guest says what clients are told."""

How = tuple[int, tuple[int | None, bool] | None]
"""A domain's number; why it has stopped, if it has, and whether it is paused; None: it is gone."""

See = Callable[[], dict[str, How]]
"""Each VM with a domain."""


class Changes:
    """A thread that watches; safe for any other."""

    def __init__(self, store: Daemon, see: See) -> None:
        self._store = store
        self._see = see
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._ending = False
        self._thread: threading.Thread | None = None

    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """From now on tell what happens."""
        self._thread = threading.Thread(target=self._run, args=(on_change,), name="xen-changes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell no more."""
        self._ending = True
        self.look_again()
        if self._thread is not None:
            self._thread.join()
        os.close(self._wake)

    def look_again(self) -> None:
        """There is another domain, or one less."""
        os.eventfd_write(self._wake, 1)

    def _run(self, on_change: Callable[[ObjectId], None]) -> None:
        seen = self._see()
        while not self._ending:
            try:
                with self._store.watching(_SPECIAL) as watching:
                    seen = self._follow(watching, seen, on_change)
            except XenopsError as error:
                _LOG.warning("changes are not heard: %s; trying again", error)
                threading.Event().wait(RETRY_S)

    def _follow(
        self,
        watching: Watching,
        seen: dict[str, How],
        on_change: Callable[[ObjectId], None],
    ) -> dict[str, How]:
        """Until the end; what is seen at its beginning is no news, unless it is."""
        watched: dict[str, int] = {}
        while not self._ending:
            watched = _watch(watching, watched, {vm: domid for vm, (domid, _) in seen.items()})
            event = watching.wait(None, self._wake)
            if event is None:
                os.eventfd_read(self._wake)
            elif event[1] in seen and event[0] not in _SPECIAL and event[0] not in _first(watched):
                on_change(VmObject(id=event[1]))
                continue
            now = self._see()
            for vm, how in now.items():
                if _has_ended(how) if vm not in seen else how != seen[vm]:
                    on_change(VmObject(id=vm))
            seen = now
        return seen


def _has_ended(how: How) -> bool:
    """Of one that came while nothing was heard, its end is news."""
    return how[1] is None or how[1][0] is not None


def _first(watched: dict[str, int]) -> set[str]:
    """Nodes that are told when their watch begins."""
    return {path for domid in watched.values() for path in _paths(domid)}


def _watch(watching: Watching, watched: dict[str, int], wanted: dict[str, int]) -> dict[str, int]:
    """Watch what the guests say that there are now."""
    for vm, domid in watched.items() - wanted.items():
        for path in _paths(domid):
            watching.remove(path, vm)
    for vm, domid in wanted.items() - watched.items():
        for path in _paths(domid):
            watching.add(path, vm)
    return wanted


def _paths(domid: int) -> list[str]:
    return [f"{domain_path(domid)}/{name}" for name in _SAID]
