"""Link: a connection to a libvirtd, for callers in threads; it comes back.

Calls wait for their answer. Events are told in order from libvirt's own thread, which must not wait.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import libvirt  # type: ignore[import-untyped]

from virt.meaning import HEARD, Handle, run_events
from virt.values import AbortedError, NoDomainError, VirtError, VirtEvent, VirtGoneError

_LOG = logging.getLogger(__name__)

KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 5, 4
"""A libvirtd that has not answered so many probes in a row, so far apart, counts as lost."""

RECONNECT_S = 0.5
"""How long to wait between attempts to reach it again."""

T = TypeVar("T")


class Listener(Protocol):
    """Whom a connection tells what happens by itself."""

    def on_event(self, event: VirtEvent) -> None:
        """From libvirt's thread; must not wait."""

    def on_connected(self) -> None:
        """It was reached again, in a thread of its own: what was missed meanwhile must be looked for."""


class Link:
    """Whatever is asked for goes through `call`, from any thread, while the link is there.

    Once it is lost, it is made again for as long as nobody closes it.
    """

    def __init__(self, uri: str, listener: Listener) -> None:
        self.uri = uri
        self._listener = listener
        self._handle: Handle | None = None
        self._callbacks: list[int] = []
        self._changed = threading.Condition()
        self._lost = False
        self._closed = False
        self._keeper = threading.Thread(target=self._keep, name="libvirt-keeper", daemon=True)

    def open(self) -> None:
        """Connect, and come back from now on."""
        run_events()
        self._connect()
        self._keeper.start()

    def close(self) -> None:
        """Hang up; domains live on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._keeper.is_alive():
            self._keeper.join()
        self._hang_up()

    def call(self, what: str, act: Callable[[Handle], T]) -> T:
        """Have libvirt do something; `what` names it in an error.

        Raises:
            VirtGoneError: it is not reached.
            NoDomainError: there is no such domain.
            VirtError: it says no, in its words.
        """
        handle = self._handle
        if handle is None or self._lost:
            raise VirtGoneError(f"libvirt at {self.uri} is not reached: it could not {what}; see to libvirtd")
        try:
            return act(handle)
        except libvirt.libvirtError as error:
            raise self._translated(handle, what, error) from error

    def _translated(self, handle: Handle, what: str, error: Any) -> VirtError:
        sentence = f"libvirt did not {what}: {error.get_error_message()}"
        match error.get_error_code():
            case libvirt.VIR_ERR_NO_DOMAIN:
                return NoDomainError(sentence)
            case libvirt.VIR_ERR_OPERATION_ABORTED:
                return AbortedError(sentence)
            case _ if not _is_alive(handle):
                return VirtGoneError(f"{sentence}; libvirt at {self.uri} is not reached: see to libvirtd")
            case _:
                return VirtError(sentence)

    def _connect(self) -> None:
        try:
            handle = libvirt.open(self.uri)
        except libvirt.libvirtError as error:
            words = error.get_error_message()
            raise VirtGoneError(f"libvirt at {self.uri} is not reached: {words}; see to libvirtd") from error
        try:
            with suppress(libvirt.libvirtError):  # a driver within this process has no connection to lose
                handle.registerCloseCallback(self._on_lost, None)
                handle.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)
            self._callbacks = [
                handle.domainEventRegisterAny(None, event, heard, self) for event, heard in HEARD.items()
            ]
        except libvirt.libvirtError as error:
            handle.close()
            raise VirtGoneError(f"libvirt at {self.uri} tells no events: {error}") from error
        self._lost = False
        self._handle = handle

    def _hang_up(self) -> None:
        """The library keeps what has callbacks: they are taken back first."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        for callback in self._callbacks:
            with suppress(libvirt.libvirtError):
                handle.domainEventDeregisterAny(callback)
        with suppress(libvirt.libvirtError):
            handle.unregisterCloseCallback()
        with suppress(libvirt.libvirtError):
            handle.close()

    def _on_lost(self, _handle: Handle, _reason: int, _: object) -> None:
        with self._changed:
            self._lost = True
            self._changed.notify_all()

    def _keep(self) -> None:
        """Until it is closed: wait for it to be lost, come back, tell."""
        while self._is_lost():
            _LOG.warning("libvirt at %s is lost; its domains live on, and so they are waited for", self.uri)
            self._hang_up()
            while not self._is_back():
                with self._changed:
                    if self._changed.wait_for(lambda: self._closed, RECONNECT_S):
                        return
            _LOG.warning("libvirt at %s is reached again", self.uri)
            self._listener.on_connected()

    def _is_lost(self) -> bool:
        """Wait until it is; no: it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._lost or self._closed)
            return not self._closed

    def _is_back(self) -> bool:
        try:
            self._connect()
        except VirtGoneError:
            return False
        return True

    def tell(self, event: VirtEvent | None) -> None:
        """What libvirt's thread has heard, if it is of interest."""
        if event is not None:
            self._listener.on_event(event)


def _is_alive(handle: Handle) -> bool:
    try:
        return bool(handle.isAlive())
    except libvirt.libvirtError:
        return False
