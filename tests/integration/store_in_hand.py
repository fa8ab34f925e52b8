"""xenstore in hand: a real xenstored that has no hypervisor, as backend classic uses it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from engine.store.link import Link
from typing_extensions import override
from worker_xen.xenstore.daemon import Daemon, Watching
from worker_xen.xenstore.devices import BusState
from worker_xen.xenstore.tree import Node, domain_path

STOPS = "/in-hand/stops"
"""Told in the place of @releaseDomain, of which a daemon without a hypervisor hears nothing."""


class StoreInHand(Daemon):
    """xenstored, to which no domain is ever introduced."""

    @override
    def introduce(self, domid: int, frame: int, port: int) -> None:
        self.write([Node(f"{domain_path(domid)}/console/tty", f"/dev/pts/{domid}")])

    @override
    def resume(self, domid: int) -> None:
        """It never heard of it."""

    def answer(self, path: str, state: BusState) -> bool:
        """Write a driver's state, unless its device is gone meanwhile; answers whether it is there."""

        def act(link: Link) -> bool:
            is_there = link.read(path) is not None
            if is_there:
                link.write(path, str(int(state)).encode())
            return is_there

        return self._xenstored.transact(act)

    @contextmanager
    @override
    def watching(self, paths: Sequence[str] = ()) -> Iterator[Watching]:
        with super().watching([STOPS if path == "@releaseDomain" else path for path in paths]) as watching:
            yield watching
