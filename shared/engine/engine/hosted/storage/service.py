"""Service: disks named `SR/VDI` by SMAPIv2 over the bus, as of xapi's own services."""

import logging
import time
from typing import Any

from bus.ports import Bus, BusError, UndeliveredError
from schema.fault import XenopsError, internal_error
from typing_extensions import override

from engine.hosted.machine import Source
from engine.hosted.storage.ports import Storage, Use
from engine.hosted.storage.smapi import Attached, decode_answer, encode_call, source_of

CALL_TIMEOUT_S = 300.0
"""A driver may log in to a target, or join two chains of images, before it answers."""

UNSERVED_S = 10.0
"""A broker that fails over, or a service that is started anew, is there again by then."""

AGAIN_S = 0.2
"""Between two attempts; what was not delivered does nothing twice."""

DEBUG_INFO = "xenops"
"""What our calls are called in the service's log."""

_LOG = logging.getLogger(__name__)


class StorageService(Storage):
    """The service that serves a queue of a bus; its calls are not for the bus's own thread."""

    def __init__(
        self, bus: Bus, queue: str, *, takes_nbd: bool = True, unserved_s: float = UNSERVED_S
    ) -> None:
        """Call the service that serves `queue`, which may be away for so long.

        `takes_nbd`: who opens the disks can connect to NBD servers.
        """
        self._bus = bus
        self._takes_nbd = takes_nbd
        self._queue = queue
        self._unserved_s = unserved_s

    @property
    @override
    def keeps_epochs(self) -> bool:
        return True

    @override
    def attach(self, use: Use) -> Source:
        attached = self._on_path("VDI.attach3", use, Attached, read_write=not use.read_only)
        try:
            return source_of(attached, f"VDI.attach3 {use.name}", takes_nbd=self._takes_nbd)
        except XenopsError:
            self.detach(use)
            raise

    @override
    def activate(self, use: Use) -> None:
        self._on_path("VDI.activate_readonly" if use.read_only else "VDI.activate3", use)

    @override
    def deactivate(self, use: Use) -> None:
        self._on_path("VDI.deactivate", use)

    @override
    def detach(self, use: Use) -> None:
        """Whatever state it is in. A service that fails is not waited for, as in the original."""
        try:
            self._call("DP.destroy", use.name, None, dp=_datapath(use), allow_leak=False)
        except XenopsError as error:
            _LOG.warning("datapath %s of the VDI %s may be left: %s", _datapath(use), use.name, error)

    @override
    def begin(self, name: str, owner: str | None, *, persistent: bool) -> None:
        self._call("VDI.epoch_begin", name, None, **_names(name), vm=_vm(owner), persistent=persistent)

    @override
    def end(self, name: str, owner: str | None) -> None:
        self._call("VDI.epoch_end", name, None, **_names(name), vm=_vm(owner))

    def _on_path(self, method: str, use: Use, type_: Any = None, **params: bool) -> Any:
        where = {"dp": _datapath(use), **_names(use.name), "vm": use.owner}
        return self._call(method, use.name, type_, **where, **params)

    def _call(self, method: str, name: str, type_: Any, **params: str | bool) -> Any:
        """Errors: those of `decode_answer`; `Internal_error`, nobody answers."""
        what = f"{method} {name}"
        body = encode_call(method, {"dbg": DEBUG_INFO, **params})
        try:
            answer = self._delivered(body)
        except BusError as error:
            raise internal_error(
                f"Cannot {what}: {error}; see to the storage service that XENOPS_STORAGE_QUEUE names"
            ) from error
        return decode_answer(type_, what, name, answer)

    def _delivered(self, body: bytes) -> bytes:
        """The answer to a call that reaches the service. Errors: `BusError`."""
        given_up = time.monotonic() + self._unserved_s
        while True:
            try:
                return self._bus.call(self._queue, body, CALL_TIMEOUT_S)
            except UndeliveredError:
                if time.monotonic() > given_up:
                    raise
                time.sleep(AGAIN_S)


def _vm(owner: str | None) -> str:
    """The original, too, tells an empty one of a domain that is gone."""
    return owner or ""


def _datapath(use: Use) -> str:
    """As xapi names it, which looks for it by that name."""
    return f"vbd/{use.owner}/{use.device}"


def _names(name: str) -> dict[str, str]:
    """Errors: `Internal_error` for a name that is none."""
    repository, slash, disk = name.partition("/")
    if not (repository and slash and disk):
        raise internal_error(f"{name!r} is no name of a disk: give SR/VDI")
    return {"sr": repository, "vdi": disk}
