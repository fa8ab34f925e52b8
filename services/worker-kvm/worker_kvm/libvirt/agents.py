"""Agents: asks libvirt what the agents in guests say, while their ports are open; a few at a time."""

import heapq
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from virt.values import VirtError

from worker_kvm.addressing import log_faults
from worker_kvm.qemu.agents import Patience
from worker_kvm.qemu.guest_agent import Told

ASKED_AT_ONCE = 4
"""A guest that does not answer holds up one of so many for libvirt's five seconds."""

_LOG = logging.getLogger(__name__)


class GuestAgents:
    """The agents of a libvirt's guests, by domain; safe for any thread.

    `ask` waits for an agent's answer; `on_change` hears of what is new, in one of our threads.
    """

    def __init__(
        self, ask: Callable[[str], Told], on_change: Callable[[str], None], patience: Patience | None = None
    ) -> None:
        self._ask = ask
        self._on_change = on_change
        self._patience = patience or Patience()
        self._told: dict[str, Told] = {}
        self._open: dict[str, Iterator[float]] = {}
        self._due: list[tuple[float, int, str, Iterator[float]]] = []
        """When whom to ask, and by which pauses: those of a port that was closed since are void."""
        self._numbers = count()
        self._turns: dict[str, threading.Lock] = {}
        """Held while a guest is asked: two askers would have it do things in no order."""
        self._changed = threading.Condition()
        self._is_closed = False
        self._pool = ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="libvirt-agent")
        self._clock = threading.Thread(target=self._go, name="libvirt-agents", daemon=True)
        self._clock.start()

    def told(self, uuid: str) -> Told | None:
        """What a guest's agent has said last."""
        return self._told.get(uuid)

    def is_there(self, uuid: str) -> bool:
        """Whether an agent has opened its port."""
        return uuid in self._open

    def opened(self, uuid: str) -> None:
        """A guest has opened the port: it is asked from now on."""
        with self._changed:
            self._open[uuid] = pauses = self._patience.pauses()
            self._put(uuid, pauses, 0.0)

    def attend(self, uuid: str) -> None:
        """Something is pending for an agent: it shall not wait for the next time; there is none, nothing."""
        with self._changed:
            if uuid in self._open:
                self.opened(uuid)

    def closed(self, uuid: str) -> None:
        """A guest has closed it, to sleep or for ever; what was said stands."""
        with self._changed:
            self._open.pop(uuid, None)

    def forget(self, uuid: str) -> None:
        """A domain has ended."""
        self.closed(uuid)
        self._told.pop(uuid, None)
        self._turns.pop(uuid, None)

    def close(self) -> None:
        """Ask no more; who is just asked is waited for."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._clock.join()
        self._pool.shutdown(cancel_futures=True)

    def _put(self, uuid: str, pauses: Iterator[float], pause_s: float) -> None:
        heapq.heappush(self._due, (time.monotonic() + pause_s, next(self._numbers), uuid, pauses))
        self._changed.notify_all()

    def _go(self) -> None:
        with self._changed:
            while not self._is_closed:
                wait_s = self._due[0][0] - time.monotonic() if self._due else None
                if wait_s is not None and wait_s <= 0:
                    _, _, uuid, pauses = heapq.heappop(self._due)
                    if self._open.get(uuid) is pauses:
                        self._pool.submit(self._ask_by, uuid, pauses)
                else:
                    self._changed.wait(wait_s)

    def _ask_by(self, uuid: str, pauses: Iterator[float]) -> None:
        try:
            with self._turns.setdefault(uuid, threading.Lock()):
                told = self._ask(uuid)
        except VirtError as error:
            _LOG.info("the agent of domain %s: %s", uuid, error)
        except Exception:  # noqa: BLE001  a thread's top: it is asked again
            _LOG.exception("the agent of domain %s", uuid)
        else:
            self._hear(uuid, told)
        with self._changed:
            if self._open.get(uuid) is pauses and not self._is_closed:
                self._put(uuid, pauses, next(pauses))

    def _hear(self, uuid: str, told: Told) -> None:
        with self._changed:
            if uuid not in self._open:
                return
            before, self._told[uuid] = self._told.get(uuid), told
        log_faults(uuid, told, before)
        if told.differs(before):
            self._on_change(uuid)
