"""Xenstored: a real daemon's socket as a door; what goes wrong is told in sentences.

Every request takes a connection of its own from a pool, so that no thread waits for another's answer.
"""

import errno
import os
import random
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from engine.store import link as links
from engine.store.door import Transaction, XenstoreError
from engine.store.link import Link, LostError, RefusedError, SilentError

T = TypeVar("T")

CONNECTIONS_MAX = 32
"""Connections at a time: the daemon answers one request after the other, whatever their number."""

CONFLICTS_MAX = 200
"""How often a transaction is begun again; somebody's succeeds each time."""

_BACKOFF_S_MAX = 0.02


class Xenstored:
    """A daemon behind a Unix socket, as a `Xenstore`. Connections are made when they are needed."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._idle: list[Link] = []
        self._places = threading.Semaphore(CONNECTIONS_MAX)
        weakref.finalize(self, _close_all, self._idle)

    def read(self, path: str) -> bytes | None:
        """A node's value."""
        return self.on_a_link(lambda link: link.read(path))

    def names(self, path: str) -> list[str] | None:
        """The names in a directory."""
        return self.on_a_link(lambda link: link.names(path))

    def within(self, act: Callable[[Transaction], T]) -> T:
        """Do something in a transaction."""
        return self.transact(act)

    def transact(self, act: Callable[[Link], T]) -> T:
        """The same with all that a connection can."""
        for attempt in range(CONFLICTS_MAX):
            counts, done = self.on_a_link(lambda link: link.transact(act))
            if counts:
                return done
            time.sleep(random.uniform(0.0, min(attempt / 1e3, _BACKOFF_S_MAX)))  # noqa: S311  no secret
        raise XenstoreError(f"others changed the same nodes {CONFLICTS_MAX} times meanwhile; try again")

    def close(self) -> None:
        """Let go of all connections that nobody uses."""
        _close_all(self._idle)

    def on_a_link(self, act: Callable[[Link], T]) -> T:
        """Ask on a connection; one that the daemon has left behind is replaced, once."""
        with self._places:
            try:
                link = self._idle.pop()
            except IndexError:
                return self._on_a_new_link(act)
            try:
                return self._use(link, act)
            except LostError:
                self.close()
                return self._on_a_new_link(act)

    def _on_a_new_link(self, act: Callable[[Link], T]) -> T:
        try:
            link = Link(self._path)
        except OSError as error:
            sentence = f"xenstored does not answer at {self._path} ({error.strerror or error})"
            raise XenstoreError(f"{sentence}; see that it runs, then try again") from error
        try:
            return self._use(link, act)
        except LostError as error:
            raise XenstoreError(
                f"xenstored at {self._path} hung up; see that it runs, then try again"
            ) from error

    def _use(self, link: Link, act: Callable[[Link], T]) -> T:
        """Ask on a connection, and keep it for the next one unless it is spoilt."""
        try:
            done = act(link)
        except RefusedError as error:
            if error.number is not None:
                self._keep(link)
                raise XenstoreError(_refusal(error.number)) from error
            link.close()
            sentence = f"xenstored at {self._path} answers what it should not"
            raise XenstoreError(f"{sentence}; see what listens there, then try again") from error
        except SilentError as error:
            link.close()
            raise XenstoreError(
                f"xenstored at {self._path} does not answer within {links.ANSWER_TIMEOUT_S:g} s; "
                "whether it did what was asked is unknown: see to it, then try again"
            ) from error
        except LostError:
            link.close()
            raise
        except BaseException:
            self._keep(link)
            raise
        self._keep(link)
        return done

    def _keep(self, link: Link) -> None:
        if link.is_free:
            self._idle.append(link)
        else:
            link.close()


def _close_all(links: list[Link]) -> None:
    while links:
        with suppress(IndexError):  # another thread has taken the last one
            links.pop().close()


def _refusal(number: int) -> str:
    """What the daemon's error means."""
    known = {
        errno.E2BIG: "too much for one node, or too many nodes below one, by xenstored's quota",
        errno.ENOSPC: "xenstored's quota of nodes, or its memory, is used up; remove what is not needed",
        errno.EDQUOT: "xenstored's quota is used up; raise it, or remove what is not needed",
        errno.EACCES: "xenstored forbids it; run as root in the control domain",
        errno.EINVAL: "xenstored takes no such path; make XENOPS_XENSTORE_PATH shorter",
    }
    return f"{known.get(number, 'xenstored refuses it')} ({os.strerror(number)})"
