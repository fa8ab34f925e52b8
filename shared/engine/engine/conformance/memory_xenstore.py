"""MemoryXenstore: a xenstore in this process, with what a real one refuses, for tests without a daemon."""

import threading
from collections.abc import Callable
from typing import TypeVar

from engine.store.door import Transaction, XenstoreError
from engine.store.nodes import NAMES_BYTES_MAX, VALUE_BYTES_MAX

T = TypeVar("T")


class _Nodes:
    """Nodes by path; a transaction's own are a copy."""

    def __init__(self, nodes: dict[str, bytes]) -> None:
        self.nodes = nodes

    def read(self, path: str) -> bytes | None:
        return self.nodes.get(path)

    def names(self, path: str) -> list[str] | None:
        if path not in self.nodes:
            return None
        prefix = f"{path}/"
        below = (other.removeprefix(prefix) for other in self.nodes if other.startswith(prefix))
        names = [name for name in below if "/" not in name]
        if sum(len(name) + 1 for name in names) > NAMES_BYTES_MAX:
            raise XenstoreError("too many names")
        return names

    def write(self, path: str, value: bytes) -> None:
        if not 0 < len(value) <= VALUE_BYTES_MAX or not value.isascii() or not value.decode().isprintable():
            raise XenstoreError("a value that a daemon does not take")
        folder = path.rpartition("/")[0]
        while folder and folder not in self.nodes:
            self.nodes[folder] = b""
            folder = folder.rpartition("/")[0]
        self.nodes[path] = value

    def remove(self, path: str) -> None:
        for other in [other for other in self.nodes if f"{other}/".startswith(f"{path}/")]:
            del self.nodes[other]


class MemoryXenstore:
    """A `Xenstore`; any change between a transaction's begin and end is a conflict."""

    def __init__(self) -> None:
        self._nodes: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self.transactions = 0
        self.failing: str | None = None

    def read(self, path: str) -> bytes | None:
        """A node's value."""
        return _Nodes(self._now()).read(path)

    def names(self, path: str) -> list[str] | None:
        """The names in a directory."""
        return _Nodes(self._now()).names(path)

    def within(self, act: Callable[[Transaction], T]) -> T:
        """Do something in a transaction."""
        while True:
            before = self._now()
            self.transactions += 1
            nodes = _Nodes(dict(before))
            done = act(nodes)
            with self._lock:
                if self._nodes is before:
                    self._nodes = nodes.nodes
                    return done

    def edit(self, path: str, value: bytes | None) -> None:
        """Change a node as somebody else does; None removes it."""
        self.within(lambda nodes: nodes.remove(path) if value is None else nodes.write(path, value))

    def nodes(self) -> dict[str, bytes]:
        """All that there is."""
        return dict(self._now())

    def _now(self) -> dict[str, bytes]:
        """The nodes of this moment; they are replaced, never changed."""
        if self.failing is not None:
            raise XenstoreError(self.failing)
        return self._nodes
