"""Backend classic in dom0 of a real, if emulated, Xen host: real guests, deaths, and the conformance suite.

`make test-xen-life` has a VM's life through the bus (`test_xen_through_the_bus.py`). The suite runs on real
xenstoreds, too, with a hypervisor in the test's process (`tests/integration/test_classic_conformance.py`).
"""

from xen_dom0 import FOR_LONG, Dom0


@FOR_LONG
def test_guests_end_by_themselves_rest_and_move_meet_hostile_images_and_find_no_room(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_classic_guests.py")


@FOR_LONG
def test_pvh_guests_rest_and_move(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_classic_pvh.py")


@FOR_LONG
def test_guests_boot_by_a_bootloader_from_disks_of_their_own(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_classic_bootloader.py")


@FOR_LONG
def test_hvm_guests_boot_rest_and_lose_their_hardware(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_classic_hvm.py")


@FOR_LONG
def test_linux_as_an_hvm_guest_boots_from_its_disk_and_has_drivers_of_xens(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_hvm_linux.py")


@FOR_LONG
def test_hvm_guests_sleep_and_wake(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_hvm_sleep.py")


@FOR_LONG
def test_hvm_guests_find_microsofts_interface(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_hvm_viridian.py")


@FOR_LONG
def test_workers_are_killed_at_every_point(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_classic_deaths.py")


@FOR_LONG
def test_the_whole_conformance_suite(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_classic_conformance.py")


@FOR_LONG
def test_the_whole_conformance_suite_with_hvm_guests(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_classic_hvm_conformance.py")
