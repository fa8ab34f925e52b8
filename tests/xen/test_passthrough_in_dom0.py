"""PCI and USB devices in guests of a real, if emulated, Xen host with an IOMMU: classic and xenlight."""

from xen_dom0 import FOR_LONG, Dom0


@FOR_LONG
def test_pci_devices_are_given_to_guests_and_come_back(dom0_with_pci: Dom0) -> None:
    dom0_with_pci.pytest("tests/xen/dom0/test_passthrough.py")


@FOR_LONG
def test_pci_devices_are_among_an_hvm_guest_s_hardware(dom0_with_pci: Dom0) -> None:
    dom0_with_pci.pytest("tests/xen/dom0/test_passthrough_hvm.py")


@FOR_LONG
def test_usb_devices_are_given_to_hvm_guests_and_come_back(dom0_with_pci: Dom0) -> None:
    dom0_with_pci.pytest("tests/xen/dom0/test_usb_hvm.py")
