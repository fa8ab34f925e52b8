"""Places: where a host has the programs and images by which HVM guests are run."""

from collections.abc import Sequence
from pathlib import Path

from schema.fault import internal_error

HVMLOADERS = ("/usr/lib/xen*/boot/hvmloader", "/usr/libexec/xen*/boot/hvmloader")
DEVICE_MODELS = (
    "/usr/libexec/xen-qemu-system-i386",
    "/usr/lib/xen*/bin/qemu-system-i386",
    "/usr/libexec/xen*/bin/qemu-system-i386",
)
BIOSES = ("/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/bios-256k.bin")


def hvmloader() -> str:
    """What Xen starts in an HVM domain. Errors: `Internal_error` that names the package."""
    return _found("Xen's hvmloader", HVMLOADERS, "xen-utils")


def bios() -> str:
    """What hvmloader starts. Errors: as of `hvmloader`."""
    return _found("the BIOS for HVM guests", BIOSES, "seabios")


def device_model() -> str:
    """The QEMU that knows Xen. Errors: as of `hvmloader`."""
    return _found("the device model for HVM guests", DEVICE_MODELS, "qemu-system-xen")


def _found(what: str, patterns: Sequence[str], package: str) -> str:
    places = (path for pattern in patterns for path in sorted(Path("/").glob(pattern[1:])))
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        where = ", ".join(patterns)
        raise internal_error(f"This host does not have {what} ({where}): `apt-get install {package}`")
    return str(found)
