"""A state on its way out, by a QEMU in hand: it says yes to the hand-over once all that it writes is read."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import refusal
from schema.fault import internal_error
from schema.objects.errors import Cancelled, InternalError
from worker_kvm import downtime
from worker_kvm.downtime import DOWNTIME_MS, FIRST_DOWNTIME_MS
from worker_kvm.qemu.framing import Writer
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.outgoing import BANDWIDTH_BYTES_PER_S, bound, send
from worker_kvm.watched import Status

STATE = os.urandom(1 << 20)
"""More than a socket holds."""


class Qemu:
    """As much of `Live` as `send` uses; at the hand-over it writes all before it replies."""

    def __init__(self, *, refuses: bool = False, writes_until: int | None = None) -> None:
        """With `writes_until` its guest writes so much that it must be allowed so many ms."""
        self.status = Status.PAUSED
        self.migration = "none"
        self.done: list[str] = []
        self.told: dict[str, Any] = {}
        self._refuses = refuses
        self._writes_until = writes_until
        self._file = -1
        self._ring: Callable[[], None] = lambda: None
        self._written = threading.Event()

    def give(self, descriptor: int, _name: str) -> None:
        self._file = os.dup(descriptor)

    def do(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        self.done.append(command)
        self.told |= arguments or {}
        if command == "migrate" and self._writes_until is None:
            self._become("pre-switchover")
        return {"status": "prelaunch"} if command == "query-status" else {"status": self.migration}

    def try_to(self, command: str, arguments: dict[str, Any] | None = None) -> bool:
        self.done.append(command)
        if arguments and arguments.get("downtime-limit") == self._writes_until:
            self._become("pre-switchover")
            return True
        self.migration = "cancelled"
        return True

    def begin(self, command: str, _arguments: object, _timeout_s: float) -> Callable[[], bool]:
        self.done.append(command)
        writing = threading.Thread(target=self._write, daemon=True)
        if not self._refuses:
            writing.start()

        def is_done() -> bool:
            if self._refuses:
                raise internal_error("it says no")
            return self._written.is_set()

        return is_done

    def _write(self) -> None:
        rest = memoryview(STATE)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        os.close(self._file)
        self._written.set()
        self._become("completed")

    def _become(self, migration: str) -> None:
        self.migration = migration
        self._ring()

    @contextmanager
    def moving(self, ring: Callable[[], None]) -> Iterator[None]:
        self._ring = ring
        yield

    def wait(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        return self._written.wait(timeout_s) and holds()


def sent(qemu: Qemu, execution: SuiteExecution) -> bytes:
    written = bytearray()
    send(cast("Live", qemu), Writer(written.extend), execution)
    return bytes(written)


def test_what_qemu_writes_is_read_before_it_says_yes_to_the_hand_over() -> None:
    qemu = Qemu()
    assert len(sent(qemu, SuiteExecution())) > len(STATE)
    assert qemu.migration == "completed"


def test_a_guest_that_writes_much_may_stand_still_for_longer_when_it_was_given_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(downtime, "PATIENCE_S", 0.0)
    qemu = Qemu(writes_until=DOWNTIME_MS)
    sent(qemu, SuiteExecution())
    assert (qemu.told["downtime-limit"], qemu.migration) == (FIRST_DOWNTIME_MS, "completed")


def test_a_refused_hand_over_calls_the_state_back() -> None:
    qemu = Qemu(refuses=True)
    error = refusal(lambda: sent(qemu, SuiteExecution()))
    assert isinstance(error, InternalError)
    assert "migrate_cancel" in qemu.done


def test_a_cancel_that_comes_before_the_hand_over_counts() -> None:
    qemu, execution = Qemu(), SuiteExecution()
    execution.cancel()
    assert isinstance(refusal(lambda: sent(qemu, execution)), Cancelled)
    assert "migrate-continue" not in qemu.done


def test_a_guest_that_ends_meanwhile_is_not_saved() -> None:
    qemu = Qemu()
    qemu.status = Status.ENDED
    assert isinstance(refusal(lambda: sent(qemu, SuiteExecution())), InternalError)


def test_a_guest_may_be_slowed_down_and_what_is_sent_be_bounded() -> None:
    qemu = Qemu()
    sent(qemu, SuiteExecution())
    assert {"capability": "auto-converge", "state": True} in qemu.told["capabilities"]
    for mib_per_s, bytes_per_s in ((3, 3 << 20), (None, BANDWIDTH_BYTES_PER_S)):
        bound(cast("Live", qemu), mib_per_s)
        assert qemu.told["max-bandwidth"] == bytes_per_s
