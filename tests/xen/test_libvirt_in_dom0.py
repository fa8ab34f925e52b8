"""The libvirt backend in dom0 of a real, if emulated, Xen host: the conformance suite, and tests of its own.

`make test` runs the same suite with a libvirt in the test's process (`services/worker-xen/tests`).
"""

from xen_dom0 import FOR_LONG, Dom0


@FOR_LONG
def test_the_whole_conformance_suite(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_libvirt_conformance.py")


@FOR_LONG
def test_what_libvirt_makes_special(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_libvirt_life.py")
