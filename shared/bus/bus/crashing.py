"""Crashing: a bus with crash points around what a task makes its process read, append, tell: `bus.crash`."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Future

from schema.ids import InstanceName, Offset
from schema.records import Record, Submitted
from typing_extensions import override

from bus.crash import CrashKind, CrashPoints
from bus.fold import FoldOf
from bus.ports import BrokerSeen, Bus, Entry, Fold, OnAnswer, Request
from bus.quarantine import Quarantined


class CrashingBus(Bus):
    """A bus that counts points for the tasks of one name and for whatever else befalls their VMs."""

    def __init__(self, bus: Bus, points: CrashPoints, name: str) -> None:
        self._bus = bus
        self._points = points
        self._name = name
        self._vms: set[str] = set()
        self._requests: set[str] = set()

    # --- what is counted ------------------------------------------------------------------------------

    @override
    def append(self, instance: InstanceName, *records: Record) -> Future[None]:
        ours = [record.kind for record in records if self._is_ours(record)]
        for kind in ours:
            self._reach(CrashKind.APPEND, f"before {kind}")
        appended = self._bus.append(instance, *records)
        if ours:
            appended.add_done_callback(lambda _: self._reach(CrashKind.APPEND, f"after {ours[-1]}"))
        return appended

    @override
    def broker(self) -> BrokerSeen:
        return self._bus.broker()

    @override
    def tail(
        self,
        instance: InstanceName,
        start: Offset,
        on_entry: Callable[[Entry], None],
        on_live: Callable[[], None],
    ) -> None:
        self._bus.tail(instance, start, lambda entry: self._read(entry, on_entry), on_live)

    @override
    def follow(self, instance: InstanceName, service: str, fold: Fold) -> None:
        parts = FoldOf(
            entry=lambda entry: self._read(entry, fold.on_entry),
            live=fold.on_live,
            state=fold.snapshot,
            take=fold.restore,
        )
        self._bus.follow(instance, service, parts)

    def _read(self, entry: Entry, on_entry: Callable[[Entry], None]) -> None:
        is_ours = self._is_ours(entry.record)
        if is_ours:
            self._reach(CrashKind.READ, f"before {entry.record.kind}")
        on_entry(entry)
        if is_ours:
            self._reach(CrashKind.READ, f"after {entry.record.kind}")

    @override
    def inbox(self, on_message: Callable[[Request], None]) -> str:
        return self._bus.inbox(lambda message: self._tell(message, lambda: on_message(message)))

    @override
    def send(self, queue: str, request: Request) -> None:
        self._tell(request, lambda: self._bus.send(queue, request))

    def _is_ours(self, record: Record) -> bool:
        if isinstance(record, Submitted) and record.dbg == self._name:
            self._vms.add(record.vm)
            self._requests.add(record.request_id)
        return getattr(record, "vm", None) in self._vms

    def _tell(self, message: Request, tell: Callable[[], None]) -> None:
        is_ours = message.correlation_id in self._requests
        if is_ours:
            self._reach(CrashKind.TELL, "before a word")
        tell()
        if is_ours:
            self._reach(CrashKind.TELL, "after a word")

    def _reach(self, kind: CrashKind, what: str) -> None:
        self._points.reach(self._name, kind, what)

    # --- what is not ----------------------------------------------------------------------------------

    @override
    def quarantined(self, on_quarantined: Callable[[Quarantined], None]) -> None:
        self._bus.quarantined(on_quarantined)

    @override
    def serve(self, queue: str, on_request: Callable[[Request], None]) -> None:
        self._bus.serve(queue, on_request)

    @override
    def lead(self, queue: str, on_change: Callable[[bool], None]) -> None:
        self._bus.lead(queue, on_change)

    @override
    def undeliverable(self, on_request: Callable[[str, Request], None]) -> None:
        self._bus.undeliverable(on_request)

    @override
    def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        return self._bus.call(queue, body, timeout_s)

    @override
    def ask(self, queue: str, question: Request, timeout_s: float, on_answer: OnAnswer) -> None:
        self._bus.ask(queue, question, timeout_s, on_answer)

    @override
    def listen(
        self,
        listener: socket.socket,
        protocols: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._bus.listen(listener, protocols, tls)

    @override
    def accept(self, listener: socket.socket, on_connection: Callable[[socket.socket], None]) -> None:
        self._bus.accept(listener, on_connection)

    @override
    def adopt(self, connected: socket.socket, protocols: Callable[[], asyncio.BaseProtocol]) -> None:
        self._bus.adopt(connected, protocols)

    @override
    def every(self, interval_s: float, action: Callable[[], None]) -> None:
        self._bus.every(interval_s, action)

    @override
    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        self._bus.later(delay_s, action)

    @override
    def call_soon(self, action: Callable[[], None]) -> None:
        self._bus.call_soon(action)

    @override
    def ready(self, timeout_s: float) -> None:
        self._bus.ready(timeout_s)

    @override
    def close(self) -> None:
        self._bus.close()
