"""Outgoing: a guest's state on its way out of QEMU, which can be called back until it is handed over."""

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from engine.backend import Execution
from schema.fault import internal_error

from worker_kvm.downtime import FIRST_DOWNTIME_MS, Downtime
from worker_kvm.qemu.framing import Writer
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.self_pipe import SelfPipe
from worker_kvm.watched import Status

BANDWIDTH_BYTES_PER_S = 10**11
"""No bound: whoever takes the bytes is the bound."""

HAND_OVER_TIMEOUT_S = 20 * 60.0
"""How long the last of a state may take, when a cancel comes too late: as long as a channel may be silent."""

CALL_BACK_TIMEOUT_S = 30.0
"""How long QEMU may take to finish what it sends, or to give it up."""

CAPABILITIES = ("events", "pause-before-switchover", "auto-converge")
"""It tells, waits before it hands over, and slows a guest down that writes faster than its memory goes."""

_STATE = "state"
"""QEMU's name of the socket."""

_PROGRESS_S = 0.1
_POLL_S = 0.005
_DONE = frozenset({"completed", "failed", "cancelled"})
_CANCELLING = "cancelling"
_HANDS_OVER = "pre-switchover"
"""The guest stands still, and QEMU waits to be told to write the rest."""


@dataclass(frozen=True, slots=True)
class Company:
    """What goes along with memory: how far all has come without it, and what is owed at the hand-over."""

    start: float = 0.0
    settle: Callable[[], None] = lambda: None
    """Called once the guest stands still; what it raises calls the guest back."""


ALONE = Company()


def send(live: Live, writer: Writer, execution: Execution, company: Company = ALONE) -> None:
    """Write the guest's state, until it stands still and all of it is written.

    A cancel counts until QEMU is told to hand over. Cancelled or failed, QEMU has called it back; whether the
    guest runs is the caller's to see to. Errors: those of the writer, `Internal_error` with QEMU's words.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        whole = threading.Event()

        def forward() -> None:
            size = ours.recv_into(writer.buffer)
            if size == 0:
                whole.set()
            else:
                writer.piece(size)

        with (
            _beginning(live, theirs.fileno()),
            closing(ours),
        ):  # QEMU may wait to write when it is called back
            theirs.close()
            _watch(live, execution, _Line(ours.fileno(), forward, whole.is_set, company))


def send_itself(live: Live, connection: int, execution: Execution, company: Company = ALONE) -> None:
    """Have QEMU write the guest's state to another host by itself, until it stands still and all is written.

    Whatever the other side says before it can have all of it, if only by hanging up, is that it does not take
    it. The connection is non-blocking then. Errors and a cancel are as of `send`.
    """

    def on_word() -> None:
        if not line.is_handed_over:
            raise internal_error("the other side does not take the guest's state")
        line.hears = False  # it has all, and says so sooner than our QEMU

    line = _Line(connection, on_word, lambda: live.migration in _DONE, company)
    try:
        with _beginning(live, connection):
            _watch(live, execution, line)
    finally:
        os.set_blocking(connection, False)


def bound(live: Live, mib_per_s: int | None) -> None:
    """What QEMU may send in a second from now on; None: whoever takes the bytes is the bound."""
    speed = BANDWIDTH_BYTES_PER_S if mib_per_s is None else mib_per_s << 20
    live.do("migrate-set-parameters", {"max-bandwidth": speed})


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
    await_stillness(live)


def await_stillness(live: Live) -> None:
    """Wait until QEMU would let the guest run, which is a moment after it has told how its state went out.

    Errors: `Internal_error`.
    """
    deadline = time.monotonic() + CALL_BACK_TIMEOUT_S
    while live.do("query-status")["status"] == "finish-migrate":
        if time.monotonic() > deadline:
            raise internal_error("QEMU does not finish its migration: shut the VM down by force")
        time.sleep(_POLL_S)


@dataclass(slots=True)
class _Line:
    """A socket that is listened to while a state goes out."""

    file: int
    on_ready: Callable[[], None]
    is_over: Callable[[], bool]
    company: Company = ALONE
    hears: bool = True
    handed_over: Callable[[], bool] | None = None
    """QEMU was told to write the rest; whether it has said yes."""

    @property
    def is_handed_over(self) -> bool:
        """Whether QEMU was told to write the rest."""
        return self.handed_over is not None


@contextmanager
def _beginning(live: Live, file: int) -> Iterator[None]:
    """While inside, QEMU knows where to write to; what fails there, QEMU has called back."""
    capabilities = [{"capability": name, "state": True} for name in CAPABILITIES]
    try:
        live.do("migrate-set-capabilities", {"capabilities": capabilities})
        live.do("migrate-set-parameters", {"downtime-limit": FIRST_DOWNTIME_MS})
        live.give(file, _STATE)
        yield
    except BaseException:
        with suppress(Exception):  # one that is gone has nothing to call back
            call_back(live)
        raise


def _watch(live: Live, execution: Execution, line: _Line) -> None:
    """Have QEMU begin, and see it through: progress, cancel, the hand-over, the end."""
    with SelfPipe() as pipe, live.moving(pipe.wake), execution.cancellable(pipe.cancel):
        live.do("migrate", {"uri": f"fd:{_STATE}"})
        _listen(live, execution, line, pipe)
        _see_to_the_end(live)
    execution.progress(1.0)


def _listen(live: Live, execution: Execution, line: _Line, pipe: SelfPipe) -> None:
    """Until the line is over: QEMU has written all, or given up."""
    poll, told_at, downtime = select.poll(), time.monotonic(), Downtime(partial(_allow, live))
    downtime.set_out()
    for file in (line.file, pipe):
        poll.register(file, select.POLLIN)
    while not line.is_over():
        ready = {descriptor for descriptor, _ in poll.poll(_PROGRESS_S * 1e3)}
        if pipe.fileno() in ready:
            pipe.drain()
            if pipe.is_cancelled.is_set():
                execution.check_cancelled()
            if live.status is Status.ENDED:
                raise internal_error("the guest has ended while its state was written")
            if live.migration == _HANDS_OVER and not line.is_handed_over:
                execution.forbid_cancel()
                line.company.settle()
                told_at, line.handed_over = time.monotonic(), _hand_over(live)
                execution.stands_still()
        if line.handed_over is not None:
            line.handed_over()
        if line.file in ready:
            line.on_ready()
            if not line.hears:
                poll.unregister(line.file)
        silent_s = time.monotonic() - told_at
        if line.is_handed_over and silent_s > HAND_OVER_TIMEOUT_S:
            raise internal_error(f"the rest of the guest's state was not taken in {HAND_OVER_TIMEOUT_S:g} s")
        if not line.is_handed_over and silent_s > _PROGRESS_S:
            downtime.look()
            told_at = time.monotonic()
            start = line.company.start
            execution.progress(start + (1 - start) * _fraction(live))


def _allow(live: Live, downtime_ms: int) -> None:
    live.try_to("migrate-set-parameters", {"downtime-limit": downtime_ms})


def _hand_over(live: Live) -> Callable[[], bool]:
    """Have QEMU write the rest. It may begin before it says yes, and then wait for us to read that."""
    return live.begin("migrate-continue", {"state": _HANDS_OVER}, HAND_OVER_TIMEOUT_S)


def _see_to_the_end(live: Live) -> None:
    live.wait(lambda: live.migration in _DONE or live.status is Status.ENDED, CALL_BACK_TIMEOUT_S)
    if live.migration != "completed":
        raise internal_error(f"QEMU did not write its state: {_reason(live)}")


def _fraction(live: Live) -> float:
    """Of memory that is out, as QEMU sees it; it may grow while the guest writes."""
    ram = _told(live).get("ram", {})
    total = int(ram.get("total", 0))
    return max(0.0, 0.99 * (1 - int(ram.get("remaining", total)) / total)) if total else 0.0


def _reason(live: Live) -> str:
    told = _told(live)
    return str(told.get("error-desc") or f"it says {told.get('status', 'nothing')!r}")


def _told(live: Live) -> dict[str, Any]:
    answer = live.do("query-migrate")
    return answer if isinstance(answer, dict) else {}
