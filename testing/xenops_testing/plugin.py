"""The pytest plugin: an instance in memory and clients of it as fixtures, made only for tests that ask.

pytest loads this module in every run wherever the package is installed, so it imports the services only once
a fixture is used.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xenops import Client
    from xenops.aio import AsyncClient

    from xenops_testing.instance import Instance

_MARK = "xenops(faults=(), guest=Guest(), transfer_s=0.0): how the hypervisor of xenops_instance behaves"


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", _MARK)


@pytest.fixture
def xenops_instance(request: pytest.FixtureRequest, tmp_path: Path) -> "Iterator[Instance]":
    """A whole instance in this process, for one test; the mark `xenops` says how its hypervisor behaves."""
    from xenops_testing.instance import Instance, Simulated  # noqa: PLC0415  see the module's sentence

    mark = request.node.get_closest_marker("xenops")
    try:
        simulated = Simulated(*mark.args, **mark.kwargs) if mark else Simulated()
        made = Instance(tmp_path / "xenops", simulated)
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(
            f"pytest.mark.{_MARK.partition(':')[0]} was given otherwise: {error}"
        ) from error
    with made as instance:
        yield instance


@pytest.fixture
def xenops_client(xenops_instance: "Instance") -> "Client":
    """A client of `xenops_instance`."""
    return xenops_instance.client()


@pytest.fixture
def xenops_async_client(xenops_instance: "Instance") -> "AsyncClient":
    """A client of `xenops_instance` whose calls are awaited, on whichever event loop the test runs."""
    return xenops_instance.async_client()
