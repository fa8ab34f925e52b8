"""The libxl backend in dom0 of a real, if emulated, Xen host: the conformance suite, and tests of its own."""

import os

import pytest
from xen_dom0 import Dom0

SHORT = "keeps_the_promise or asked_to_shut_down or suspended_vm_resumes or restarted_worker"
"""What is tried first, in a life of its own; `make test-xen` tries the rest, too."""


def test_the_walk_through_s_promise_and_a_life_with_a_suspend(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_xenlight_conformance.py", f"-k '{SHORT}'")


@pytest.mark.skipif(not os.environ.get("XENOPS_TEST_XEN_ALL"), reason="takes an hour: `make test-xen`")
def test_the_whole_conformance_suite(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_xenlight_conformance.py", f"-k 'not ({SHORT})'")
