"""The Xen test host for tests: one machine, resumed from its saved state, for each module."""

from collections.abc import Iterator
from pathlib import Path

import guest
import pytest
import xen_image
import xen_machine
from xen_dom0 import BINDINGS, IMAGES, ROOT, Dom0

collect_ignore = ["dom0"]
"""Those run there."""


@pytest.fixture(name="image", scope="session")
def build_image() -> Path:
    """Built and kept; whoever cannot build it is told what is missing."""
    guest.build(ROOT / "var" / "guest")
    try:
        xen_image.refuse_where_it_cannot_work()
        xen_machine.refuse_without_memory()
    except (guest.GuestError, xen_machine.MachineError) as error:
        pytest.skip(f"nothing is tested on Xen: {error}")
    xen_image.build(IMAGES)
    return IMAGES / "current"


@pytest.fixture(name="dom0", scope="module")
def resume(image: Path) -> Iterator[Dom0]:
    machine = xen_machine.resumed(xen_machine.machine_place(image))
    try:
        yield Dom0(machine)
        machine.fetch_bindings(BINDINGS)
    finally:
        machine.end()
