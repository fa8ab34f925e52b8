"""Outgoing: a guest's state on its way out of QEMU, which can be called back until it is handed over."""

import select
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from engine.backend import Execution
from schema.fault import internal_error

from worker_kvm.qemu.framing import Writer
from worker_kvm.qemu.live import Live, Status

DOWNTIME_MS = 100
"""How long what is left of memory may take at the end, while the guest stands still."""

BANDWIDTH_BYTES_PER_S = 10**11
"""No bound: whoever takes the bytes is the bound."""

CALL_BACK_TIMEOUT_S = 30.0
"""How long QEMU may take to finish what it sends, or to give it up."""

_STATE = "state"
"""QEMU's name of the socket."""

_PROGRESS_S = 0.1
_POLL_S = 0.005
_DONE = frozenset({"completed", "failed", "cancelled"})
_CANCELLING = "cancelling"
_HANDS_OVER = "pre-switchover"
"""The guest stands still, and QEMU waits to be told to write the rest."""


def send(live: Live, writer: Writer, execution: Execution) -> None:
    """Write the guest's state, until it stands still and all of it is written.

    A cancel counts until QEMU is told to hand over. Cancelled or failed, QEMU has called it back; whether the
    guest runs is the caller's to see to. Errors: those of the writer, `Internal_error` with QEMU's words.
    """
    line = _Line()
    try:
        _begin(live, line)
        with live.moving(line.ring), execution.cancellable(line.cancel):
            live.do("migrate", {"uri": f"fd:{_STATE}"})
            _forward(live, writer, line, execution)
            _see_to_the_end(live)
    except BaseException:
        line.close()
        with suppress(Exception):  # one that is gone has nothing to call back
            call_back(live)
        raise
    line.close()
    execution.progress(1.0)


def call_back(live: Live) -> None:
    """Have QEMU give up what it sends, if it does, so that the guest may run. Errors: `Internal_error`."""
    deadline = time.monotonic() + CALL_BACK_TIMEOUT_S
    live.try_to("migrate_cancel")
    while (status := _told(live).get("status", "none")) not in {"none", *_DONE}:
        if time.monotonic() > deadline:
            raise internal_error("QEMU does not give its migration up: shut the VM down by force")
        if status == _CANCELLING:  # called back just as it was about to wait for us, QEMU waits nevertheless
            live.try_to("migrate-continue", {"state": _CANCELLING})
        time.sleep(_POLL_S)
    _await_stillness(live)


class _Line:
    """The socket that QEMU writes to, and a bell for all else that happens."""

    def __init__(self) -> None:
        self.connection, self.far = socket.socketpair()
        self.bell, self._rope = socket.socketpair()
        for end in (self.bell, self._rope):
            end.settimeout(0)
        self.is_cancelled = threading.Event()

    def ring(self) -> None:
        """Something has happened; from any thread, and at any time."""
        with suppress(OSError):
            self._rope.send(b"!")

    def cancel(self) -> None:
        self.is_cancelled.set()
        self.ring()

    def hush(self) -> None:
        with suppress(OSError):
            self.bell.recv(1 << 10)

    def close(self) -> None:
        for end in (self.connection, self.far, self.bell, self._rope):
            end.close()


def _begin(live: Live, line: _Line) -> None:
    """What QEMU must know before it sends anything."""
    capabilities = [{"capability": name, "state": True} for name in ("events", "pause-before-switchover")]
    live.do("migrate-set-capabilities", {"capabilities": capabilities})
    bounds = {"max-bandwidth": BANDWIDTH_BYTES_PER_S, "downtime-limit": DOWNTIME_MS}
    live.do("migrate-set-parameters", bounds)
    live.give(line.far.fileno(), _STATE)
    line.far.close()


def _forward(live: Live, writer: Writer, line: _Line, execution: Execution) -> None:
    """Until QEMU has closed its end: it has written all, or given up."""
    poll, told_at, handed_over = select.poll(), time.monotonic(), False
    poll.register(line.connection, select.POLLIN)
    poll.register(line.bell, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if line.bell.fileno() in ready:
            line.hush()
            if line.is_cancelled.is_set():
                execution.check_cancelled()
            if live.status is Status.ENDED:
                raise internal_error("the guest has ended while its state was written")
            if live.migration == _HANDS_OVER and not handed_over:
                handed_over = True
                execution.forbid_cancel()
                live.do("migrate-continue", {"state": _HANDS_OVER})
        if line.connection.fileno() in ready:
            size = line.connection.recv_into(writer.buffer)
            if size == 0:
                return
            writer.piece(size)
        if not handed_over and time.monotonic() - told_at > _PROGRESS_S:
            told_at = time.monotonic()
            execution.progress(_fraction(live))


def _see_to_the_end(live: Live) -> None:
    live.wait(lambda: live.migration in _DONE or live.status is Status.ENDED, CALL_BACK_TIMEOUT_S)
    if live.migration != "completed":
        raise internal_error(f"QEMU did not write its state: {_reason(live)}")
    _await_stillness(live)


def _fraction(live: Live) -> float:
    """Of memory that is out, as QEMU sees it; it may grow while the guest writes."""
    ram = _told(live).get("ram", {})
    total = int(ram.get("total", 0))
    return max(0.0, 0.99 * (1 - int(ram.get("remaining", total)) / total)) if total else 0.0


def _reason(live: Live) -> str:
    told = _told(live)
    return str(told.get("error-desc") or f"it says {told.get('status', 'nothing')!r}")


def _await_stillness(live: Live) -> None:
    """QEMU tells how it has ended a moment before it would let the guest run."""
    deadline = time.monotonic() + CALL_BACK_TIMEOUT_S
    while live.do("query-status")["status"] == "finish-migrate":
        if time.monotonic() > deadline:
            raise internal_error("QEMU does not finish its migration: shut the VM down by force")
        time.sleep(_POLL_S)


def _told(live: Live) -> dict[str, Any]:
    answer = live.do("query-migrate")
    return answer if isinstance(answer, dict) else {}
