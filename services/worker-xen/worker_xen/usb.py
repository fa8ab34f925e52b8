"""Usb: by which controller an HVM guest's device model shows USB devices of the host; values and no I/O."""

USB = "usb"
"""What QEMU calls it."""

CONTROLLER: dict[str, object] = {"driver": "qemu-xhci", "id": USB, "addr": "1d", "p2": 8, "p3": 8}
"""With ports for devices of either speed; in a slot of its own, where it is found again after a rest."""

DEVICES = "/machine/peripheral"
"""Where QEMU shows what was added by a name."""
