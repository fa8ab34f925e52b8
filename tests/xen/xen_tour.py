"""Tour: every method on each backend of Xen, through all services; `make conformance-xen` prints its page."""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conformance_table import plain, table
from interface_tour import Visit, tour
from schema.objects.disk import LocalDisk
from typing_extensions import override
from xen_dom0 import IMAGES, ROOT, Dom0
from xen_hardware import machine_place
from xen_machine import Machine, resumed
from xen_site import Site

BACKENDS: Mapping[str, str] = {"classic": "Xen classic", "xenlight": "xenlight", "libvirt": "Xen by libvirt"}
"""By what a worker calls them, what the page does."""

PAGE = ROOT / "docs" / "conformance-xen.md"

_DOOR = "amqp"
_PLACE = "/var/lib/tour"
_HEAD = """\
# Conformance on Xen: every method, every backend

Made by `make conformance-xen` on the emulated Xen host, from a run of `tests/integration/interface_tour.py`
through the broker and all services; do not edit. VMs are HVM guests without anything to boot. What passes,
and by which doors, is as [elsewhere](conformance.md); `tests/xen/test_interface_on_xen.py` holds all to
it.

"""


@dataclass(slots=True, kw_only=True)
class XenVisit(Visit):
    """One whose disks are in dom0."""

    machine: Machine

    @property
    @override
    def disk(self) -> LocalDisk:
        path = f"{_PLACE}/disk"
        self.machine.check(f"mkdir -p {_PLACE} && truncate -s 1M {path}")
        return LocalDisk(path=path)

    @property
    @override
    def image(self) -> LocalDisk:
        return LocalDisk(path=f"{_PLACE}/image")


def toured(dom0: Dom0, backend: str, directory: Path) -> dict[str, str]:
    """By method, what comes of it."""
    site = Site(directory, dom0, backend)
    try:
        visit = XenVisit(site.client, f"{_DOOR}-vm", directory, site.url, machine=dom0.machine)
        return {method: plain(answer) for method, answer in tour(visit).items()}
    finally:
        site.close()


@contextmanager
def _dom0() -> Iterator[Dom0]:
    machine = resumed(machine_place(IMAGES / "current"))
    try:
        yield Dom0(machine)
    finally:
        machine.end()


def _found() -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    for backend, name in BACKENDS.items():
        with _dom0() as dom0, tempfile.TemporaryDirectory(prefix="xs-") as directory:
            yield name, {_DOOR: toured(dom0, backend, Path(directory))}


if __name__ == "__main__":
    sys.stdout.write(_HEAD + table(dict(_found())))
