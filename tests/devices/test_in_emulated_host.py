"""Devices of a host in guests, on an emulated computer that has some to spare."""

import os

import device_host
import pytest


@pytest.mark.skipif(
    not os.environ.get("XENOPS_TEST_DEVICES"), reason="takes minutes: `make test-passthrough` runs it"
)
def test_devices_of_a_host_are_given_to_guests_and_come_back() -> None:
    pytest_alone = ("env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", "python", "-m", "pytest")
    assert device_host.main([*pytest_alone, "-v", "--durations=0", "tests/devices/host"]) == 0
