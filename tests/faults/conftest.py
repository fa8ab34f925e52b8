"""A broker of one's own for each module, below a directory whose name is short: sockets are in it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack.broker.node import PrivateNode


@pytest.fixture(name="place", scope="module")
def make_place() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="xenops-faults-"))
    yield place
    shutil.rmtree(place)


@pytest.fixture(name="node", scope="module")
def run_node(place: Path) -> Iterator[PrivateNode]:
    with PrivateNode(place / "broker") as node:
        yield node
