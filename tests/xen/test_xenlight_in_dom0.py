"""The libxl backend in dom0 of a real, if emulated, Xen host: the conformance suite, and tests of its own."""

from xen_dom0 import FOR_LONG, Dom0

SHORT = "keeps_the_promise or asked_to_shut_down or suspended_vm_resumes or restarted_worker"
"""What is tried first, in a life of its own; `make test-xen` tries the rest, too."""


@FOR_LONG
def test_the_walk_through_s_promise_and_a_life_with_a_suspend(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_xenlight_conformance.py", f"-k '{SHORT}'")


@FOR_LONG
def test_the_whole_conformance_suite(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_xenlight_conformance.py", f"-k 'not ({SHORT})'")


@FOR_LONG
def test_guests_of_every_type_rest_and_move(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_xenlight_life.py")
