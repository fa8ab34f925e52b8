"""Ends: both ends of a device, made and unmade; what is waited for, the control domain's drivers do."""

import time
from collections.abc import Callable, Iterable

from engine.backend import Execution
from schema.fault import internal_error

from worker_xen.classic.dom0 import Dom0
from worker_xen.xenstore.daemon import Daemon
from worker_xen.xenstore.devices import BusState, DevicePath, closing_nodes, state_of
from worker_xen.xenstore.tree import Node

DRIVER_TIMEOUT_S = 30.0
"""How long a driver of the control domain may take to open a device, or to let it go: milliseconds."""

GUEST_TIMEOUT_S = 60.0
"""How long a guest may take to let go of a device."""

_POLL_S = 0.005
"""The bus in sysfs cannot be waited for."""

_CLOSED = frozenset({BusState.UNKNOWN, BusState.CLOSED})

_NEVER_USED = frozenset({BusState.UNKNOWN, BusState.INITIALISING, BusState.CLOSED})
"""States of a frontend whose guest need not be asked."""


class Ends:
    """Devices of this host's domains; safe for any thread."""

    def __init__(self, store: Daemon, dom0: Dom0) -> None:
        self._store = store
        self._dom0 = dom0

    def make(
        self, device: DevicePath, nodes: Iterable[Node], ready: Callable[[], bool], execution: Execution
    ) -> None:
        """Write a device, unless it is there, and wait until its driver is ready.

        Failed or cancelled, nothing of it is left. Errors: `Internal_error` with the driver's words.
        """
        try:
            if self._store.read(f"{device.backend}/state") is None:
                self._store.replace([device.error], nodes)
            self._await(device, ready, execution)
        except BaseException:
            self.remove(device)
            raise

    def await_backend(self, device: DevicePath, execution: Execution) -> None:
        """Wait until a backend's driver has seen it. Errors: `Internal_error` with the driver's words."""
        state = f"{device.backend}/state"

        def seen() -> BusState | None:
            found = state_of(self._store.read(state))
            return found if found >= BusState.INIT_WAIT else None

        found = self._store.await_change([state, device.error], seen, DRIVER_TIMEOUT_S, execution)
        if found is None or found >= BusState.CLOSING:
            raise internal_error(_not_ready(device, self._store.read(device.error)))

    def _await(self, device: DevicePath, ready: Callable[[], bool], execution: Execution) -> None:
        deadline = time.monotonic() + DRIVER_TIMEOUT_S
        while not ready():
            complaint = self._store.read(device.error)
            if complaint or time.monotonic() > deadline:
                raise internal_error(_not_ready(device, complaint))
            execution.wait(_POLL_S)

    def is_open(self, device: DevicePath) -> bool:
        """Whether a disk's driver has its content open."""
        return self._dom0.has_open(device.bus_name)

    def ask_guest(self, device: DevicePath, execution: Execution) -> bool:
        """Have the guest let go of a device; answers whether it did, or had none of it."""
        if state_of(self._store.read(f"{device.frontend}/state")) in _NEVER_USED:
            return True
        self._store.write(closing_nodes(device))
        state = f"{device.backend}/state"

        def closed() -> bool | None:
            return True if state_of(self._store.read(state)) in _CLOSED else None

        return self._store.await_change([state], closed, GUEST_TIMEOUT_S, execution) is True

    def remove(self, device: DevicePath) -> None:
        """Unmake a device, whatever its guest thinks of it, and wait until its driver has let it go.

        Errors: `Internal_error`, it does not.
        """
        self._store.remove([device.backend, device.error, device.frontend])
        deadline = time.monotonic() + DRIVER_TIMEOUT_S
        while self._dom0.has_device(device.bus_name):
            if time.monotonic() > deadline:
                raise internal_error(
                    f"The driver of {device.bus_name} does not let it go within {DRIVER_TIMEOUT_S:g} s: its "
                    "storage or network does not answer; see to that, then try again"
                )
            time.sleep(_POLL_S)


def _not_ready(device: DevicePath, complaint: bytes | None) -> str:
    if complaint:
        return f"The driver of {device.bus_name} says: {complaint.decode(errors='replace')}"
    return (
        f"No driver of this control domain takes {device.bus_name} within {DRIVER_TIMEOUT_S:g} s: "
        "`modprobe xen-blkback xen-netback`"
    )
