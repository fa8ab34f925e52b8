"""Table: what comes of each method, by backend; `make conformance` prints docs/conformance.md by it."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from interface_doors import DOORS, client_through, home
from interface_tour import PASS, Visit, tour
from schema.methods import METHODS
from stack.hypervisor import look, open_network
from stack.layout import Layout
from stack.libvirtd import LibvirtDaemon
from stack.local import LocalStack
from stack.shape import QEMU_INSTANCE, SIMULATOR_INSTANCE, WORKER_KVM, Network, Shape

LIBVIRT_INSTANCE = "org.xen.xapi.xenops.libvirt"

BACKENDS: Mapping[str, str] = {
    "simulator": SIMULATOR_INSTANCE,
    "QEMU": QEMU_INSTANCE,
    "libvirt": LIBVIRT_INSTANCE,
}
"""By name, their instance; QEMU and libvirt only where they run."""

Stacks = Callable[[], AbstractContextManager[tuple[LocalStack, Layout]]]
"""What brings up a stack."""

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"

_HEAD = """\
# Conformance: every method, every door, every backend

Made by `make conformance` from a run of `tests/integration/interface_tour.py`; do not edit. Each method is
called once or more, in the course of VMs' lives, and passes if its answer is read without an error and, for
an operation, its task completes. What is not the same by every door is told door by door. VM.migrate goes
from the host to itself. `tests/integration/test_interface_tour.py` holds all of them to it.

"""


@contextmanager
def every_backend() -> Iterator[tuple[LocalStack, Layout]]:
    """A stack of all backends that run on this machine."""
    layout = Layout(Path(tempfile.mkdtemp(prefix="xs-")) / "stack")
    try:
        with LocalStack(layout, look(layout).shape) as stack:
            yield stack, layout
    finally:
        shutil.rmtree(layout.root.parent)


@contextmanager
def on_libvirt() -> Iterator[tuple[LocalStack, Layout]]:
    """A stack whose worker-kvm goes through a libvirtd of its own, which has the stack's bridge."""
    directory = Path(tempfile.mkdtemp(prefix="xs-"))
    layout = Layout(directory / "stack")
    try:
        open_network(layout)
        with LibvirtDaemon(directory / "d", layout.namespace) as daemon:
            told = {
                "XENOPS_BACKEND": "libvirt",
                "XENOPS_LIBVIRT_URI": daemon.uri,
                "XENOPS_LIBVIRT_LOGS": str(daemon.logs),
            }
            shape = Shape({WORKER_KVM: LIBVIRT_INSTANCE}, Network.BRIDGE)
            with LocalStack(layout, shape, environment=told) as stack:
                yield stack, layout
    finally:
        shutil.rmtree(directory)


def _found() -> dict[str, dict[str, dict[str, str]]]:
    """By backend and door, what came of each method."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for stacks in (every_backend, on_libvirt):
        found |= _found_on(stacks)
    return found


def _found_on(stacks: Stacks) -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    with stacks() as (stack, layout):
        there = {name: instance for name, instance in BACKENDS.items() if instance in stack.shape.instances}
        for backend, instance in there.items():
            for door in DOORS:
                with (
                    tempfile.TemporaryDirectory() as disks,
                    client_through(door, stack, layout, instance) as client,
                ):
                    visit = Visit(client, f"{door}-vm", Path(disks), home(layout, instance))
                    found.setdefault(backend, {})[door] = tour(visit)
    return found


def documented(backend: str, page: Path = PAGE) -> dict[str, str]:
    """By method, what a page says of a backend."""
    rows = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")]
    heads, _, *cells = [[cell.strip("| ") for cell in row] for row in rows]
    column = heads.index(backend)
    return {row[0]: row[column] for row in cells}


def _cell(by_door: Mapping[str, str]) -> str:
    """One answer for all doors, or each door's."""
    answers = {plain(answer) for answer in by_door.values()}
    if len(answers) == 1:
        return answers.pop()
    return "; ".join(f"{door}: {plain(answer)}" for door, answer in by_door.items())


def plain(answer: str) -> str:
    """Without the names that a tour through one door gives its VMs."""
    for door in DOORS:
        answer = answer.replace(f"{door}-vm-", "")
    return answer.replace("|", "\\|").replace("\n", " ")


def table(found: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    """The page's, by backend, door and method."""
    doors = " ".join(f"`{door}`" for door in next(iter(found.values())))
    lines = [f"Doors: {doors}. Backends: {', '.join(found)}.", ""]
    for backend, by_door in found.items():
        passes = sum(answers[method] == PASS for answers in by_door.values() for method in METHODS)
        lines.append(f"- {backend}: {passes} of {len(METHODS) * len(by_door)} pass")
    lines += ["", f"| method | {' | '.join(found)} |", f"|---{'|---' * len(found)}|"]
    for method in METHODS:
        cells = (
            _cell({door: answers[method] for door, answers in by_door.items()}) for by_door in found.values()
        )
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(_HEAD + table(_found()))
