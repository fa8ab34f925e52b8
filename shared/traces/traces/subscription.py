"""Subscription: an instance's observers as a service knows them: read from their log, and written to it."""

import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from bus.ports import BEGINNING, Bus, BusError, Entry
from bus.topology import observers_log
from schema.fault import internal_error
from schema.ids import InstanceName
from schema.records import ObserverRecord

from traces.observers import Observers
from traces.tracer import Tracer

CHANGE_WAIT_S = 15.0
"""How long a change may take to be read back; longer than a broker takes to restart."""


class ObserverLog:
    """One instance's observers, and the tracer that does as they say."""

    def __init__(self, bus: Bus, instance: InstanceName, tracer: Tracer) -> None:
        self._bus = bus
        self._log = observers_log(instance)
        self._tracer = tracer
        self._observers = Observers()
        self._live = False
        self._lock = threading.Lock()
        self._waiting: dict[str, Future[str | None]] = {}

    def start(self) -> None:
        """Read the log, and go on reading it."""
        self._bus.tail(self._log, BEGINNING, self._on_entry, self._on_live)

    def change(self, record: ObserverRecord) -> None:
        """Write a record, and wait until it is read back: not from the bus's own thread.

        Where it stands in the log decides whether it can be, so that all services agree.

        Errors: `Internal_error` with the original's words for an observer that is not there; when it was not
        read back in time, one that says so.
        """
        read_back: Future[str | None] = Future()
        with self._lock:
            self._waiting[record.request_id] = read_back
        try:
            self._bus.append(self._log, record).result(CHANGE_WAIT_S)
            complaint = read_back.result(CHANGE_WAIT_S)
        except (BusError, FutureTimeoutError) as error:
            reason = str(error) or f"it was not read back within {CHANGE_WAIT_S:g} s"
            raise internal_error(f"{record.kind}: it may not have been done ({reason}): ask again") from error
        finally:
            with self._lock:
                self._waiting.pop(record.request_id, None)
        if complaint is not None:
            raise internal_error(complaint)

    def _on_entry(self, entry: Entry) -> None:
        complaint = self._observers.apply(entry.record)
        with self._lock:
            read_back = self._waiting.pop(getattr(entry.record, "request_id", ""), None)
        if self._live or read_back is not None:  # who is told that it was done finds it done
            self._tracer.follow(self._observers)
        if read_back is not None:
            read_back.set_result(complaint)

    def _on_live(self) -> None:
        """What was changed and changed back long ago makes no difference: only the sum is followed."""
        self._live = True
        self._tracer.follow(self._observers)
