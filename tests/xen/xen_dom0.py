"""Dom0 of the Xen test host, as tests use it."""

import os
from pathlib import Path

import pytest
import xen_machine

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "var" / "xen"
PYTEST = (
    "cd /opt/xenops/sources && python3 -m pytest -c tests/xen/dom0/pytest.ini --rootdir tests/xen/dom0 -q"
)
ALL = "XENOPS_TEST_XEN_ALL"
"""Set: everything is tested, for an hour and more."""

FOR_LONG = pytest.mark.skipif(not os.environ.get(ALL), reason="takes long: `make test-xen` runs it")
"""Not part of `make test`, which says so."""

DOM0_TIMEOUT_S = 4 * 3600.0
"""Nothing is measured by it: it ends a machine that hangs."""


class Dom0:
    """What tests do with the machine."""

    def __init__(self, machine: xen_machine.Machine) -> None:
        self.machine = machine

    def pytest(self, *words: str) -> None:
        """Run tests in dom0, and show what they say."""
        done = self.machine.run(" ".join([PYTEST, *words]), timeout_s=DOM0_TIMEOUT_S)
        print(done.stdout, done.stderr)  # noqa: T201  pytest shows it where a test fails
        assert done.returncode == 0, f"in dom0 tests failed:\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
