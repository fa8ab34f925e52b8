"""Hotplug: a script of the operator's or of Xen's that makes a disk's content ready, as block-iscsi.

It is told the backend's path and writes there which block device it is, and that it is connected. It is
waited for by a watch, and killed, with all that it has started, when its task is cancelled.
"""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from engine.backend import Execution
from schema.fault import internal_error

from worker_xen.xenstore.daemon import Daemon
from worker_xen.xenstore.devices import DevicePath

SCRIPTS = Path("/etc/xen/scripts")

TIMEOUT_S = 60.0
"""How long a script may take, as by Xen's own tools."""


def script_path(name: str) -> Path:
    """A script by its name among Xen's, or by its whole path."""
    return Path(name) if name.startswith("/") else SCRIPTS / name


def add(store: Daemon, device: DevicePath, script: Path, execution: Execution) -> None:
    """Run a script for a device that is written already, until it is connected.

    Errors: `Internal_error` with what the script says; `Cancelled`, within a moment.
    """
    status, error = f"{device.backend}/hotplug-status", f"{device.backend}/hotplug-error"
    process = _start(script, "add", device)
    try:

        def settled() -> str | None:
            found = store.read(status)
            return None if found is None else found.decode(errors="replace")

        found = store.await_change([status], settled, TIMEOUT_S, execution)
    finally:
        _end(process)
    if found != "connected":
        words = (store.read(error) or b"").decode(errors="replace") or "it does not say why"
        reason = f"did not connect it within {TIMEOUT_S:g} s" if found is None else f"failed: {words}"
        raise internal_error(f"The script {script} for {device.bus_name} {reason}; see to it, then try again")


def remove(device: DevicePath, script: Path) -> None:
    """Have a script let its device's content go; what it says does not matter, for the device is gone."""
    process = _start(script, "remove", device)
    with suppress(subprocess.TimeoutExpired):
        process.wait(TIMEOUT_S)
    _end(process)


def _start(script: Path, command: str, device: DevicePath) -> "subprocess.Popen[bytes]":
    environment = {
        **os.environ,
        "script": str(script),
        "XENBUS_TYPE": device.kind,
        "XENBUS_PATH": device.backend.removeprefix("/local/domain/0/"),
        "XENBUS_BASE_PATH": "backend",
    }
    try:
        return subprocess.Popen(
            [str(script), command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise internal_error(
            f"The hotplug script {script} cannot be run ({error.strerror}): correct the VBD's key `script`"
        ) from error


def _end(process: "subprocess.Popen[bytes]") -> None:
    """With all of its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
