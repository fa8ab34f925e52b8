"""Daemon: xenstored as the backend uses it: trees written in one piece, domains introduced, nodes watched."""

import os
import select
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from engine.backend import Execution
from engine.store.door import XenstoreError
from engine.store.link import Link, LostError, RefusedError, SilentError
from engine.store.xenstored import Xenstored
from schema.fault import XenopsError, internal_error

from worker_xen.xenstore.tree import Node

SOCKET = Path("/run/xenstored/socket")

T = TypeVar("T")

_DEPTH_MAX = 8
"""How deep a guest's own nodes are read: a guest may make them as deep as it likes."""

_NODES_MAX = 1_000
"""How many: the same."""


class Watching:
    """Nodes that are watched, on a connection of their own; for one thread."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def add(self, path: str, word: str = "w") -> None:
        """Watch one more node and what is below it."""
        with _told():
            self._link.watch(path, word)

    def remove(self, path: str, word: str) -> None:
        """Watch it no more; it may be gone."""
        try:
            self._link.unwatch(path, word)
        except RefusedError:
            return
        except (LostError, SilentError) as error:
            raise _lost() from error

    def wait(self, timeout_s: float | None, wake: int) -> tuple[str, str] | None:
        """The next change and its watch's word; None when time is over, or `wake` can be read."""
        with _told():
            found = self._link.heard()
            if found is not None:
                return found
            told = self._link.fileno()
            ready, _, _ = select.select([told, wake], [], [], timeout_s)
            if told in ready:
                self._link.listen()
                return self._link.heard()
        return None


class Daemon:
    """The xenstore of this host; safe for any thread. Errors, of every method: `Internal_error` in words."""

    def __init__(self, socket: Path = SOCKET) -> None:
        self._socket = str(socket)
        self._xenstored = Xenstored(socket)

    def read(self, path: str) -> bytes | None:
        """A node's value; None where there is no such node."""
        return self._asked(lambda link: link.read(path))

    def names(self, path: str) -> list[str]:
        """The names below a node; none where there is no such node."""
        return self._asked(lambda link: link.names(path)) or []

    def values(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Several nodes, as far as they are there, on one connection."""

        def ask(link: Link) -> dict[str, bytes]:
            found = ((path, link.read(path)) for path in paths)
            return {path: value for path, value in found if value is not None}

        return self._asked(ask)

    def below(self, path: str, folders: Iterable[str]) -> list[tuple[str, str]]:
        """All nodes in some folders that have a value, by their names below `path`; within limits.

        The folders' own values are nobody's: not to ask for them halves what most guests cost.
        """

        def ask(link: Link) -> list[tuple[str, str]]:
            found: list[tuple[str, str]] = []
            waiting = [(folder, 0) for folder in folders]
            while waiting and len(found) < _NODES_MAX:
                name, depth = waiting.pop(0)
                names = link.names(f"{path}/{name}")
                if names and depth < _DEPTH_MAX:
                    waiting += [(f"{name}/{child}", depth + 1) for child in names]
                value = link.read(f"{path}/{name}") if depth and names is not None else None
                if value:
                    found.append((name, value.decode(errors="replace")))
            return found

        return self._asked(ask)

    def write(self, nodes: Iterable[Node]) -> None:
        """Write all of them, or none."""
        self._changed(nodes, ())

    def replace(self, removed: Iterable[str], nodes: Iterable[Node]) -> None:
        """Remove nodes and write others, in one piece."""
        self._changed(nodes, removed)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove nodes with all that is below them; what is not there, nothing to do."""
        self._changed((), paths)

    def introduce(self, domid: int, frame: int, port: int) -> None:
        """Tell the daemon of a domain."""
        self._asked(lambda link: link.introduce(domid, frame, port))

    def resume(self, domid: int) -> None:
        """Tell it that a domain goes on that had suspended itself."""
        self._asked(lambda link: link.resume(domid))

    @contextmanager
    def watching(self, paths: Sequence[str] = ()) -> Iterator[Watching]:
        """Watch nodes; each is told once at the beginning."""
        try:
            link = Link(self._socket)
        except OSError as error:
            raise _lost() from error
        try:
            watching = Watching(link)
            for path in paths:
                watching.add(path)
            yield watching
        finally:
            link.close()

    def await_change(
        self,
        paths: Sequence[str],
        found: Callable[[], T | None],
        timeout_s: float,
        execution: Execution | None,
    ) -> T | None:
        """Wait until something is found, asking at each change of nodes; None: not in time."""
        wake = os.eventfd(0, os.EFD_CLOEXEC)
        deadline = time.monotonic() + timeout_s
        try:
            with _cancellable(execution, wake), self.watching(paths) as watching:
                while (answer := found()) is None:
                    left_s = deadline - time.monotonic()
                    if left_s <= 0 or (watching.wait(left_s, wake) is None and _is_woken(wake)):
                        break
            if answer is None and execution is not None and _is_woken(wake):
                execution.check_cancelled()
            return answer
        finally:
            os.close(wake)

    def close(self) -> None:
        """Let go of all connections."""
        self._xenstored.close()

    def _changed(self, nodes: Iterable[Node], removed: Iterable[str]) -> None:
        wanted, unwanted = tuple(nodes), tuple(removed)
        if not unwanted and len(wanted) == 1 and not wanted[0].permissions:
            self._asked(lambda link: _write(link, wanted[0]))  # one piece as it is
            return

        def act(link: Link) -> None:
            for path in unwanted:
                _remove(link, path)
            for node in wanted:
                _write(link, node)
                if node.permissions:
                    link.set_permissions(node.path, node.permissions)

        with _explained():
            self._xenstored.transact(act)

    def _asked(self, act: Callable[[Link], T]) -> T:
        with _explained():
            return self._xenstored.on_a_link(act)


@contextmanager
def _cancellable(execution: Execution | None, wake: int) -> Iterator[None]:
    if execution is None:
        yield
        return
    with execution.cancellable(lambda: os.eventfd_write(wake, 1)):
        yield


def _is_woken(wake: int) -> bool:
    return bool(select.select([wake], [], [], 0)[0])


def _write(link: Link, node: Node) -> None:
    link.write(node.path, node.value.encode("utf-8", "surrogateescape"))


def _remove(link: Link, path: str) -> None:
    """The daemon wants the node above to be there."""
    if link.read(path) is not None:
        link.remove(path)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except XenstoreError as error:
        raise internal_error(f"xenstore: {error}") from error


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (LostError, SilentError, RefusedError) as error:
        raise _lost() from error


def _lost() -> XenopsError:
    return internal_error(
        "xenstored does not answer any more, and nothing can be waited for: see that it runs"
    )
