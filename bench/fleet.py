"""Fleet: many VMs at a time at the hands of one client, which waits by UPDATES.get and asks by Task.stat.

Answers are read by the standard library's JSON and not checked any further: the client shall not be what is
measured.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bus.ports import Bus, Request
from bus.topology import door_queue
from schema.ids import InstanceName
from schema.rpc import encode_request

GET_TIMEOUT_S = 30
PATIENCE_S = 120.0

Then = Callable[[Any], None]


class Caller:
    """Calls an instance without waiting; on the bus's thread. What fails is kept as the first trouble."""

    def __init__(self, bus: Bus, instance: str) -> None:
        self._bus = bus
        self._door = door_queue(InstanceName(instance))
        self._pending: dict[str, Then] = {}
        self._inbox = bus.inbox(self._on_answer)
        self.calls = 0
        self.trouble: str | None = None
        self.token = 0
        """The newest that any answer told."""

    def call(self, method: str, then: Then, **params: Any) -> None:
        """Ask, and hand the result on, a wire value."""
        self.calls += 1
        number = str(self.calls)
        self._pending[number] = then
        body = encode_request(method, debug_info="bench", **params)
        self._bus.send(self._door, Request(body, self._inbox, number))

    def do(self, method: str, then: Callable[[], None], **params: Any) -> None:
        """Have a task done, and go on when it has ended, waiting as the original's clients do."""
        token = self.token  # of before the task: its news must not be behind it
        self.call(method, lambda task: self._wait(task, token, then), **params)

    def _wait(self, task: str, token: int, then: Callable[[], None]) -> None:
        """Wait for news; ask for the task when it is among them."""

        def on_news(news: Any) -> None:
            _, objects, newest = news
            self.token = max(self.token, newest)
            if ["Task", task] in objects:
                self.call("Task.stat", lambda seen: on_stat(seen, newest), id=task)
            else:
                self._wait(task, newest, then)

        def on_stat(seen: Any, newest: int) -> None:
            match seen["state"]:
                case ["Completed", _]:
                    then()
                case ["Failed", error]:
                    self.trouble = self.trouble or str(error)
                case _:
                    self._wait(task, newest, then)

        self.call("UPDATES.get", on_news, last_id=token, timeout=GET_TIMEOUT_S)

    def _on_answer(self, answer: Request) -> None:
        then = self._pending.pop(answer.correlation_id or "")
        read = json.loads(answer.body)
        if read["error"] is None:
            then(read["result"])
        else:
            self.trouble = self.trouble or str(read["error"])


@dataclass(slots=True)
class Campaign:
    """Starts each VM once, so many at a time; each start waits for itself, as the original's clients do."""

    caller: Caller
    vms: Sequence[str]
    times_s: list[float] = field(default_factory=list)
    _next: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def run(self, bus: Bus, width: int) -> float:
        """Run all; answers the seconds that it took."""
        begun = time.perf_counter()
        for _ in range(width):
            bus.call_soon(self._begin)
        if not self._done.wait(PATIENCE_S):
            trouble = self.caller.trouble or "too slow"
            raise SystemExit(f"{len(self.times_s)} of {len(self.vms)} VMs started: {trouble}")
        return time.perf_counter() - begun

    def _begin(self) -> None:
        if self._next == len(self.vms):
            return
        vm, self._next = self.vms[self._next], self._next + 1
        begun = time.perf_counter()
        self.caller.do("VM.start", lambda: self._end(time.perf_counter() - begun), id=vm, paused=False)

    def _end(self, taken_s: float) -> None:
        self.times_s.append(taken_s)
        if len(self.times_s) == len(self.vms):
            self._done.set()
        else:
            self._begin()
