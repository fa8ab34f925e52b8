"""Fold of parts: a service's fold at the bus, made of what its shell and its core do."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from typing_extensions import override

from bus.ports import Entry, Fold


@dataclass(frozen=True, slots=True)
class FoldOf(Fold):
    """See `bus.ports.Fold` for each of them."""

    entry: Callable[[Entry], None]
    live: Callable[[], None]
    state: Callable[[], Iterator[bytes]]
    take: Callable[[Iterable[bytes]], None]

    @override
    def on_entry(self, entry: Entry) -> None:
        self.entry(entry)

    @override
    def on_live(self) -> None:
        self.live()

    @override
    def snapshot(self) -> Iterator[bytes]:
        return self.state()

    @override
    def restore(self, lines: Iterable[bytes]) -> None:
        self.take(lines)
