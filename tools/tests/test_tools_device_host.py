"""The emulated computer with devices to spare, as it is put together."""

from pathlib import Path

import device_host


def test_the_iommu_comes_before_all_that_it_is_for() -> None:
    line = device_host.command_line(Path("/image"), Path("/initrd"), Path("/machine"))
    devices = [line[index + 1] for index, word in enumerate(line) if word == "-device"]
    assert devices[0].startswith("intel-iommu,intremap=on")
    assert {"e1000e", "rtl8139", "qemu-xhci", "usb-kbd"} <= {device.partition(",")[0] for device in devices}


def test_this_machines_files_are_not_written_to() -> None:
    line = device_host.command_line(Path("/image"), Path("/initrd"), Path("/machine"))
    [share] = [line[index + 1] for index, word in enumerate(line) if word == "-fsdev"]
    assert "readonly=on" in share.split(",")
    assert ",ro host" in device_host.INIT
