"""Places: where a private libvirtd has what others look for, below its directory."""

from pathlib import Path


def libvirt_socket(directory: Path) -> Path:
    """Where the libvirtd of a directory listens."""
    return directory / "sock" / "libvirt-sock"


def libvirt_uri(directory: Path) -> str:
    """Where it is reached."""
    return f"qemu+unix:///system?socket={libvirt_socket(directory)}"


def libvirt_logs(directory: Path) -> Path:
    """The logs of its QEMUs."""
    return directory / "log" / "qemu"
