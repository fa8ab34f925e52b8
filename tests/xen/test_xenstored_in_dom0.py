"""The xenstored of a real, if emulated, Xen host stands still and dies; that machine is of no use afterwards.

Drivers of dom0 hear of no other xenstored, so nothing else is tested on it.
"""

from xen_dom0 import FOR_LONG, Dom0


@FOR_LONG
def test_guests_outlive_their_xenstored(dom0: Dom0) -> None:
    dom0.pytest("tests/xen/dom0/test_classic_surprises.py")
