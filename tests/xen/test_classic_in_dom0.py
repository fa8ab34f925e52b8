"""Backend classic in dom0 of a real, if emulated, Xen host: the conformance suite.

`make test` runs the same suite on real xenstoreds with a hypervisor in the test's process
(`tests/integration/test_classic_conformance.py`); here it is on Xen itself.
"""

import os

import pytest
from xen_dom0 import Dom0


@pytest.mark.skipif(not os.environ.get("XENOPS_TEST_XEN_ALL"), reason="takes an hour: `make test-xen`")
def test_the_whole_conformance_suite(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_classic_conformance.py")
