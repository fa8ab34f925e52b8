"""Machine: what the doctor sees of the machine that it runs on: disks and access to a hypervisor."""

import os
import shutil
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path

from xenops.command.checks import Check, Verdict, of_disk

QEMU = "qemu-system-x86_64"
XENSTORED = "var/run/xenstored/socket"


def of_state(directories: list[Path]) -> Iterator[Check]:
    """The disks of workers' state directories."""
    if not directories:
        remedy = "on a worker's host give --state-dir, or set XENOPS_STATE_DIR"
        yield Check("disk", Verdict.SKIP, "no state directory was looked at", remedy)
    for directory in directories:
        try:
            usage = shutil.disk_usage(directory)
        except OSError as error:
            found = f"cannot look at {directory}: {error.strerror}"
            yield Check("disk", Verdict.FAIL, found, "is that the state directory of a worker, on this host?")
            continue
        yield of_disk(str(directory), usage.free, usage.total)


def of_access(root: Path = Path("/")) -> Check:
    """Which hypervisor could be used here: Xen in its dom0, QEMU elsewhere; `root` is where files are."""
    if "control_d" in _text(root / "proc/xen/capabilities"):
        return _xen(root)
    if shutil.which(QEMU) is None:
        remedy = f"only if a worker is to run here: install QEMU (Debian: qemu-system-x86), for {QEMU}"
        return Check("access", Verdict.SKIP, "here is neither Xen nor QEMU", remedy)
    kvm = root / "dev/kvm"
    if not kvm.exists():
        remedy = "load the module kvm_intel or kvm_amd; in a VM, allow nested virtualisation"
        return Check("access", Verdict.WARN, "QEMU is here, /dev/kvm is not: VMs are emulated", remedy)
    if not os.access(kvm, os.R_OK | os.W_OK):
        remedy = "join the group of /dev/kvm (Debian: `adduser USER kvm`), and log in anew"
        return Check("access", Verdict.WARN, "/dev/kvm may not be opened by this user", remedy)
    return Check(
        "access", Verdict.OK, "QEMU and /dev/kvm are here; the worker tries whether KVM boots a guest"
    )


def _xen(root: Path) -> Check:
    if not os.access(root / "dev/xen/privcmd", os.R_OK | os.W_OK):
        remedy = "run as root; if there is no such file, load the module xen_privcmd"
        return Check("access", Verdict.FAIL, "this is dom0, but /dev/xen/privcmd may not be opened", remedy)
    if find_library("xenctrl") is None:
        remedy = "install it (Debian: libxen-dev, xen-utils)"
        return Check("access", Verdict.FAIL, "this is dom0, but libxenctrl is not installed", remedy)
    if not (root / XENSTORED).exists():
        remedy = f"start xenstored (Debian: `systemctl start xen`), which listens at /{XENSTORED}"
        return Check("access", Verdict.FAIL, "this is dom0, but xenstored does not run", remedy)
    return Check("access", Verdict.OK, "this is dom0, with /dev/xen/privcmd, libxenctrl and xenstored")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
