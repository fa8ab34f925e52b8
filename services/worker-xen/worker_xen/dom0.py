"""Dom0: whether this is the control domain of a Xen host, and may command it.

python -m worker_xen.dom0 ends with 0 if so, else with 1 and a sentence.
"""

import os
import sys
from pathlib import Path

PRIVCMD = Path("dev/xen/privcmd")
"""By this device the hypervisor is called."""

_TYPE = Path("sys/hypervisor/type")
_CAPABILITIES = Path("proc/xen/capabilities")


class NoDom0Error(Exception):
    """VMs on Xen cannot be served here; the sentence says why and what to do."""


def refuse_elsewhere(root: Path = Path("/")) -> None:
    """Say in words what is missing; `root` is where the host's files are.

    Raises:
        NoDom0Error: no Xen, not its control domain, or no right to command it.
    """
    if _read(root / _TYPE) != "xen":
        raise NoDom0Error(
            "this host runs without Xen, and worker-xen serves VMs on Xen only: start it in dom0 of a Xen "
            "host; on QEMU or KVM, worker-kvm serves"
        )
    if not (root / _CAPABILITIES).exists():
        raise NoDom0Error("/proc/xen is empty: run `mount -t xenfs xenfs /proc/xen`")
    if "control_d" not in _read(root / _CAPABILITIES):
        raise NoDom0Error("this is a VM on Xen and not its control domain: start worker-xen in dom0")
    if not os.access(root / PRIVCMD, os.R_OK | os.W_OK):
        raise NoDom0Error(
            f"/{PRIVCMD} cannot be opened, so the hypervisor cannot be called: run worker-xen as root, and "
            "`modprobe xen-privcmd` if there is no such device"
        )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def main() -> int:
    """Look at this machine; answers the exit code."""
    try:
        refuse_elsewhere()
    except NoDom0Error as error:
        sys.stderr.write(f"worker-xen: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
