"""Backend classic in dom0 of a real, if emulated, Xen host: real guests, deaths, and the conformance suite.

`make test` has the first of them only. The suite it runs on real xenstoreds, too, with a hypervisor
in the test's process (`tests/integration/test_classic_conformance.py`).
"""

from xen_dom0 import FOR_LONG, Dom0

SHORT = "ends_by_itself or rests_in_an_image or moves_through or hotplug or not_there"
"""What needs real guests most."""


def test_guests_end_by_themselves_and_rest_and_move(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_classic_guests.py", f"-k '{SHORT}'")


@FOR_LONG
def test_guests_meet_hostile_images_and_find_no_room(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_classic_guests.py", f"-k 'not ({SHORT})'")


@FOR_LONG
def test_workers_are_killed_at_every_point(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_classic_deaths.py")


@FOR_LONG
def test_the_whole_conformance_suite(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_classic_conformance.py")
