"""Platform: which of a VM's `platform` keys reach the guest's builder, and as what.

Facts from xapi, vm_platform.ml.
"""

from collections.abc import Mapping

from schema.objects.vm import Bios, Firmware, Uefi

from xenops.toolstack.failure import XenApiFailure, invalid_value
from xenops.toolstack.records import DomainType

PASSED_ON = frozenset(
    {
        "acpi",
        "acpi_s3",
        "acpi_s4",
        "apic",
        "device-model",
        "device_id",
        "featureset",
        "mmio_size_mib",
        "nested-virt",
        "nx",
        "pae",
        "parallel",
        "pv-kernel-max-size",
        "pv-postinstall-kernel-max-size",
        "pv-postinstall-ramdisk-max-size",
        "pv-ramdisk-max-size",
        "revision",
        "tsc_mode",
        "usb",
        "usb_tablet",
        "vcpu-unrestricted",
        "vga",
        "viridian",
        "xenguest",
    }
)
"""Keys that are passed on; others only where the licence lifts the filter."""

_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_CORES = "cores-per-socket"


def is_true(platform: Mapping[str, str], key: str, *, default: bool) -> bool:
    """A flag; what is no truth value counts as its default."""
    return _TRUTH.get(platform.get(key, "").lower(), default)


def platform_data(
    platform: Mapping[str, str],
    domain_type: DomainType,
    firmware: Firmware,
    vcpus_max: int,
    *,
    filters: bool,
) -> dict[str, str]:
    """The keys that are passed on, in order, checked, with the USB flags made explicit.

    Raises:
        XenApiFailure: device model and firmware do not fit, or cores and vCPUs.
    """
    data = {key: value for key, value in platform.items() if key in PASSED_ON or not filters}
    if data.get("tsc_mode", "0") not in {"0", "1", "2", "3"}:
        del data["tsc_mode"]
    if not _is_parallel_port(data.get("parallel", "none")):
        del data["parallel"]
    _check_device_model(data.get("device-model"), firmware)
    if domain_type is not DomainType.PV and _CORES in data:
        _check_cores(data[_CORES], vcpus_max)
    usb = is_true(data, "usb", default=True)
    tablet = usb and is_true(data, "usb_tablet", default=True)
    return data | {"usb": str(usb).lower(), "usb_tablet": str(tablet).lower()}


def _is_parallel_port(device: str) -> bool:
    return device == "none" or device.startswith("/dev/parport")


def _check_device_model(model: str | None, firmware: Firmware) -> None:
    if model == "qemu-trad" and isinstance(firmware, Uefi):
        raise invalid_value("platform:device-model", "UEFI boot is not supported with qemu-trad")
    if model == "qemu-upstream-uefi" and isinstance(firmware, Bios):
        raise invalid_value("platform:device-model", "BIOS boot is not supported with qemu-upstream-uefi")


def _check_cores(cores: str, vcpus_max: int) -> None:
    if not cores.isdecimal():
        raise invalid_value(f"platform:{_CORES}", cores)
    if int(cores) < 1 or vcpus_max % int(cores):
        raise XenApiFailure("VCPU_MAX_NOT_CORES_PER_SOCKET_MULTIPLE", str(vcpus_max), cores)
