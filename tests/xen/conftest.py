"""The Xen test host for tests: one machine, resumed from its saved state, for each module."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import guest
import pytest
import xen_image
import xen_machine
from xen_dom0 import IMAGES, ROOT, Dom0

collect_ignore = ["dom0"]
"""Those run there."""


@pytest.fixture(name="image", scope="session")
def build_image() -> Path:
    """Built and kept, by one process at a time; whose machine cannot is told what is missing."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (IMAGES / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            xen_machine.refuse_without_memory()
            guest.build(ROOT / "var" / "guest")
            xen_image.build(IMAGES)
        except xen_image.ElsewhereError as error:
            pytest.skip(f"nothing is tested on Xen: {error}")
        except (guest.GuestError, xen_machine.MachineError) as error:
            pytest.fail(f"nothing is tested on Xen: {error}", pytrace=False)
        place = xen_machine.machine_place(IMAGES / "current")
        if not (place.snapshot / "state").exists():
            xen_machine.save(place)
    return IMAGES / "current"


@pytest.fixture(name="dom0_with_pci", scope="module")
def boot(image: Path) -> Iterator[Dom0]:
    """It has an IOMMU, and a network card to spare."""
    machine = xen_machine.booted(xen_machine.machine_place(image, has_iommu=True))
    try:
        yield Dom0(machine)
    finally:
        machine.end()


@pytest.fixture(name="dom0", scope="module")
def resume(image: Path) -> Iterator[Dom0]:
    machine = xen_machine.resumed(xen_machine.machine_place(image))
    try:
        yield Dom0(machine)
    finally:
        machine.end()
