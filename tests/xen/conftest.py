"""The Xen test host for tests: one machine, resumed from its saved state, for each module."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import guest
import pytest
import xen_image
import xen_machine
from xen_dom0 import IMAGES, ROOT, Dom0
from xen_hardware import MachineError, Place, machine_place

collect_ignore = ["dom0"]
"""Those run there."""


@pytest.fixture(name="image", scope="session")
def build_image() -> Path:
    """Built and kept; whose machine cannot is told what is missing."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with alone():
        try:
            xen_machine.refuse_without_memory()
            guest.build(ROOT / "var" / "guest")
            xen_image.build(IMAGES)
        except xen_image.ElsewhereError as error:
            pytest.skip(f"nothing is tested on Xen: {error}")
        except (guest.GuestError, MachineError) as error:
            pytest.fail(f"nothing is tested on Xen: {error}", pytrace=False)
    return IMAGES / "current"


@pytest.fixture(name="dom0_with_pci", scope="module")
def boot(image: Path) -> Iterator[Dom0]:
    """As `dom0`, with an IOMMU and a network card to spare."""
    place = machine_place(image, has_iommu=True, has_own_clock=True)
    yield from lent(xen_machine.booted(place))


@pytest.fixture(name="dom0", scope="module")
def resume(image: Path) -> Iterator[Dom0]:
    """For tests that run in it: nobody there sees how busy this machine is."""
    yield from lent(resumed(machine_place(image, has_own_clock=True)))


@pytest.fixture(name="dom0_with_nodes", scope="module")
def resume_with_nodes(image: Path) -> Iterator[Dom0]:
    """As `dom0`, with two NUMA nodes."""
    yield from lent(resumed(machine_place(image, has_own_clock=True, has_nodes=True)))


@pytest.fixture(name="dom0_of_our_time", scope="module")
def resume_with_us(image: Path) -> Iterator[Dom0]:
    """For services here and a worker there, who have patience with one another."""
    yield from lent(resumed(machine_place(image)))


@pytest.fixture(name="dom0_with_systemd", scope="module")
def boot_with_systemd(image: Path) -> Iterator[Dom0]:
    """A Debian as it comes, with its own scripts for Xen, of our time."""
    yield from lent(xen_machine.booted(machine_place(image, has_systemd=True)))


def resumed(place: Place) -> xen_machine.Machine:
    """A machine; saved by one process at a time."""
    with alone():
        if not (place.snapshot / "state").exists():
            xen_machine.save(place)
    return xen_machine.resumed(place)


def lent(machine: xen_machine.Machine) -> Iterator[Dom0]:
    """A machine for a while."""
    try:
        yield Dom0(machine)
    finally:
        machine.end()


@contextmanager
def alone() -> Iterator[None]:
    """While inside, no other process builds or saves."""
    with (IMAGES / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
