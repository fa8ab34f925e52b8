"""Dom0's libvirtd, with the driver of Xen alone; no init system starts it.

python3 xen_libvirtd.py    starts it, and comes back once it answers
"""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import libvirt  # type: ignore[import-untyped]

URI = "xen:///system"
SOCKET = Path("/run/libvirt/libvirt-sock")
PID = Path("/run/libvirtd.pid")
LOG = Path("/var/log/libvirt/libvirtd.log")
PATIENCE_S = 240.0
_POLL_S = 0.1

_DIRECTORIES = ("run/libvirt/libxl", "var/log/libvirt/libxl", "var/lib/libvirt", "var/cache/libvirt")
_CPU = Path("/usr/share/libvirt/cpu_map/x86_486.xml")
"""Xen hides SYSENTER on AMD: libvirt's oldest models must do. QEMU emulates no VME, which they want."""

_CONF = Path("/etc/libvirt/libvirtd.conf")
_DRIVERS = Path("/usr/lib/x86_64-linux-gnu/libvirt/connection-driver")
_KEPT = ("libvirt_driver_libxl.so", "libvirt_driver_network.so")
_WORDS = f"""\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
log_outputs = "2:file:{LOG}"
"""


def start() -> None:
    """Have one that answers."""
    if _answers():
        return
    for name in _DIRECTORIES:
        Path("/", name).mkdir(parents=True, exist_ok=True)
    for driver in _DRIVERS.glob("*.so"):
        if driver.name not in _KEPT:
            driver.unlink()
    _CPU.write_text(_CPU.read_text().replace("<feature name='vme'/>", ""))
    _CONF.write_text(_WORDS)
    SOCKET.unlink(missing_ok=True)
    subprocess.run(["/usr/sbin/libvirtd", "-d", "-f", str(_CONF), "-p", str(PID)], check=True)
    end = time.monotonic() + PATIENCE_S
    while not _answers():
        if time.monotonic() > end:
            raise TimeoutError(f"libvirtd does not answer: {LOG.read_text()[-3000:]}")
        time.sleep(_POLL_S)


def kill() -> None:
    """End it as by a crash; domains live on."""
    pid = int(PID.read_text())
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}").exists():
        time.sleep(_POLL_S)


def _answers() -> bool:
    """Whether its driver of Xen is there, too."""
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(SOCKET)):
            return False
    try:
        libvirt.open(URI).close()
    except libvirt.libvirtError:
        return False
    return True


if __name__ == "__main__":
    start()
