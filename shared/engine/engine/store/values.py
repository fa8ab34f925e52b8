"""Values: objects of one type in the nodes of a xenstore, and those that are known already.

A text that is too long for one node is in nodes below it, and the node holds their number and a stamp of the
whole: a reader that meets nodes of two versions notices, and reads again.
"""

from typing import Generic, TypeVar

from engine.store.cells import DamagedError, Encoding
from engine.store.door import Reading, Transaction, XenstoreError
from engine.store.nodes import TEXT_BYTES_MAX, joined, split_of, text_of, values_of

T = TypeVar("T")

CACHED_MAX = 20_000
"""Objects kept in memory, about 5 kB each; reached, the cache starts anew."""

READS_MAX = 100
"""How often a long text is read again that others keep changing."""

SAME_MAX = 20
"""So often nodes that do not fit are read alike before they count as damaged.

The same twice proves nothing: who writes may have put back in between what was there before.
"""


class Values(Generic[T]):
    """Objects by path; what is known is known by the node's value, which every read asks for."""

    def __init__(self, encoding: Encoding[T]) -> None:
        self._encoding = encoding
        self._cache: dict[str, tuple[bytes, T]] = {}

    def read(self, door: Reading, path: str) -> T | None:
        """The object at `path`, None where there is no node.

        Raises:
            DamagedError: the nodes hold no such object.
            XenstoreError: they cannot be read.
        """
        seen, times = None, 0
        for _ in range(READS_MAX):
            head = door.read(path)
            if head is None:
                self._cache.pop(path, None)
                return None
            cached = self._cache.get(path)
            if cached is not None and cached[0] == head:
                return cached[1]
            parts = _parts_below(door, path, head)
            text = _text_of(head, parts)
            if text is not None:
                value = self._encoding.decode(text)
                self._keep(path, head, value)
                return value
            times = times + 1 if seen == (head, parts) else 1
            seen = (head, parts)
            if times == SAME_MAX:
                raise DamagedError("a part of it is missing or of another version")
        raise XenstoreError(f"others changed it {READS_MAX} times while it was read; try again")

    def holds(self, door: Reading, path: str, value: T) -> bool:
        """Whether the node holds this object: clients push what they know again and again."""
        cached = self._cache.get(path)
        return cached is not None and cached[1] == value and cached[0] == door.read(path)

    def put(self, nodes: Transaction, path: str, value: T, before: bytes | None) -> bytes:
        """Replace the object at `path`, whose node says `before`; answers what it says now."""
        text = self._encoding.encode(value)
        if len(text) > TEXT_BYTES_MAX:
            raise XenstoreError(
                f"it has {len(text)} bytes, and a xenstore is for texts of up to {TEXT_BYTES_MAX}; "
                "make it smaller, or keep metadata in files (XENOPS_STORE=files)"
            )
        head, parts = values_of(text)
        nodes.write(path, head)
        for number, part in enumerate(parts, 1):
            nodes.write(f"{path}/{number}", part)
        if before is not None and split_of(before) is not None:
            _remove_from(nodes, path, len(parts) + 1)
        return head

    def remember(self, path: str, head: bytes, value: T) -> None:
        """The object was put, and the transaction counts."""
        self._keep(path, head, value)

    def _keep(self, path: str, head: bytes, value: T) -> None:
        if len(self._cache) >= CACHED_MAX:
            self._cache.clear()
        self._cache[path] = (head, value)


def _remove_from(nodes: Transaction, path: str, number: int) -> None:
    """Remove what is left of a longer text."""
    while nodes.read(f"{path}/{number}") is not None:
        nodes.remove(f"{path}/{number}")
        number += 1


def _parts_below(door: Reading, path: str, head: bytes) -> tuple[bytes | None, ...]:
    """What the nodes below one with that value say, as far as there are any."""
    split = split_of(head)
    count = 0 if split is None else split.count
    return tuple(door.read(f"{path}/{number}") for number in range(1, count + 1))


def _text_of(head: bytes, parts: tuple[bytes | None, ...]) -> bytes | None:
    """The text of a node with that value; None when the nodes below are another version's."""
    split = split_of(head)
    if split is None:
        return text_of(head)
    there = [part for part in parts if part is not None]
    return joined(split, there) if len(there) == split.count else None
