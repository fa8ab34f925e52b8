"""The host's USB devices, by the files that Linux shows them as."""

import os
from pathlib import Path
from typing import Any

import pytest
from engine.conformance.samples import sample_vusb
from engine.conformance.subject import refusal
from engine.conformance.usb import UsbFiles
from engine.hosted.usb import name_of
from engine.hosted.usbfs import UsbDevice, Usbfs
from schema.objects.errors import InternalError


@pytest.fixture(name="kernel")
def make_kernel(tmp_path: Path) -> UsbFiles:
    return UsbFiles(tmp_path)


@pytest.fixture(name="usb")
def make_usb(kernel: UsbFiles) -> Usbfs:
    return Usbfs(kernel.sysfs, kernel.nodes, kernel.write)


def words(act: Any) -> str:
    error = refusal(act)
    assert isinstance(error, InternalError)
    return error.message


@pytest.mark.parametrize(("bus", "port", "name"), [("1", "2", "1-2"), ("12", "1.4.2", "12-1.4.2")])
def test_a_device_has_the_name_of_its_place(bus: str, port: str, name: str) -> None:
    assert name_of(sample_vusb(hostbus=bus, hostport=port)) == name


@pytest.mark.parametrize(
    ("bus", "port"),
    [
        ("", "2"),
        ("0", "2"),
        ("1", "0"),
        ("1", "../1"),
        ("1,id=x", "2"),
        ("1", "2\n"),
        ("1", "2."),
        ("\N{ARABIC-INDIC DIGIT ONE}", "2"),
    ],
)
def test_nothing_else_becomes_a_path(bus: str, port: str) -> None:
    assert "no place for a USB device" in words(lambda: name_of(sample_vusb(hostbus=bus, hostport=port)))


def test_a_device_is_found_and_opened(kernel: UsbFiles, usb: Usbfs) -> None:
    node = kernel.add_usb("1-2", 4, drivers=("usbhid", None))
    found = usb.find(sample_vusb())
    assert found == UsbDevice("1-2", node)
    os.close(usb.open(found))


def test_a_device_that_is_not_there_is_told(usb: Usbfs) -> None:
    assert "no USB device at bus 1, port 2" in words(lambda: usb.find(sample_vusb()))
    assert "must be root" in words(lambda: usb.open(UsbDevice("1-2", Path("/nonesuch"))))


def test_a_hub_is_not_given_away(kernel: UsbFiles, usb: Usbfs) -> None:
    kernel.add_usb("1-2", 4, kind="09")
    assert "is a hub" in words(lambda: usb.find(sample_vusb()))


def test_a_device_that_a_program_has_is_left_to_it(kernel: UsbFiles, usb: Usbfs) -> None:
    kernel.add_usb("1-2", 4, drivers=("usbhid", "usbfs"))
    assert "in use by a program" in words(lambda: usb.find(sample_vusb()))


def test_drivers_have_again_what_a_guest_had(kernel: UsbFiles, usb: Usbfs) -> None:
    kernel.add_usb("1-2", 4, drivers=(None, "usbhid"))
    kernel.usual["1-2:1.0"] = "usb-storage"
    usb.give_back("1-2")
    assert kernel.said == ["usb/drivers_probe 1-2:1.0"]
    assert (kernel.sysfs / "bus/usb/devices/1-2:1.0/driver").resolve().name == "usb-storage"
    usb.give_back("1-2")
    assert len(kernel.said) == 1


def test_what_no_driver_wants_is_left_alone(kernel: UsbFiles, usb: Usbfs) -> None:
    kernel.add_usb("1-2", 4, drivers=(None,))
    kernel.refuses = "drivers_probe"
    usb.give_back("1-2")
