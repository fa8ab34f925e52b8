"""All 105 methods, through every door, on every backend that runs here: as docs/conformance.md says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance_table import BACKENDS, documented, every_backend, on_libvirt, plain
from interface_doors import DOORS, client_through, home
from interface_tour import PASS, STEPS, Visit, tour
from schema.methods import METHODS
from stack.layout import Layout
from stack.local import LocalStack

REFUSED = {"DEBUG.shutdown"}
"""No client ends a worker."""

WAYS = [*(("simulator", door) for door in DOORS), ("QEMU", "amqp")]
"""The doors are the same for every backend; `make conformance` goes through all."""


@pytest.fixture(name="running", scope="module")
def bring_up() -> Iterator[tuple[LocalStack, Layout]]:
    with every_backend() as running:
        yield running


@pytest.fixture(name="on_libvirt", scope="module")
def bring_up_libvirt() -> Iterator[tuple[LocalStack, Layout]]:
    with on_libvirt() as running:
        yield running


def test_the_tour_leaves_no_method_out() -> None:
    assert sorted(method for method, _ in STEPS) == sorted(METHODS)


def test_every_method_works_on_the_simulator() -> None:
    assert {method for method, how in documented("simulator").items() if how != PASS} == REFUSED


@pytest.mark.parametrize(("backend", "door"), WAYS)
def test_what_comes_of_each_method_is_what_the_page_says(
    backend: str, door: str, running: tuple[LocalStack, Layout], tmp_path: Path
) -> None:
    if BACKENDS[backend] not in running[0].shape.instances:
        pytest.skip(f"{backend} does not run here")
    hold_to_the_page(backend, door, running, tmp_path)


def test_on_libvirt_too(on_libvirt: tuple[LocalStack, Layout], tmp_path: Path) -> None:
    hold_to_the_page("libvirt", "amqp", on_libvirt, tmp_path)


def hold_to_the_page(backend: str, door: str, running: tuple[LocalStack, Layout], disks: Path) -> None:
    (stack, layout), instance = running, BACKENDS[backend]
    name = f"{door}-vm"
    with client_through(door, stack, layout, instance) as client:
        found = tour(Visit(client, name, disks, home(layout, instance)))
    assert {method: plain(how) for method, how in found.items()} == documented(backend)
