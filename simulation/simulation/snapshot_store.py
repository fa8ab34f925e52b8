"""Snapshot stores: where services' snapshots are kept in the simulation, and what may become of them."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Literal

from bus.follow import SnapshotStore
from bus.place import Place
from bus.snapshots import Assembly, SnapshotError, cut, opened
from schema.ids import InstanceName
from typing_extensions import override

from simulation.life import Life

Name = tuple[InstanceName, str]
"""Whose snapshots: a service of an instance."""

Spoiling = Literal["torn", "foreign", "newer"]
"""Not whole; of a log that there is no more; of a version that nobody here reads."""

SHELF_S = 0.05
"""How long it takes at most to ask for a snapshot, or to put away a piece of one."""

ATTEMPTS, ATTEMPT_PAUSE_S = 20, 0.5
"""As on RabbitMQ."""

_NO_ANCHOR = "another life's"


class SnapshotStores:
    """All snapshots that were put away, as the messages that they are made of."""

    def __init__(self) -> None:
        self.messages: defaultdict[Name, list[bytes]] = defaultdict(list)

    def clear(self, instance: InstanceName) -> None:
        """There are no snapshots of an instance any more."""
        for (of, _), messages in self.messages.items():
            if of == instance:
                messages.clear()

    def spoil(self, service: str, how: Spoiling) -> None:
        """The newest snapshot of each service whose name begins so is not what it was."""
        for (_, name), messages in self.messages.items():
            if messages and name.startswith(service):
                messages[-1:] = _spoiled(messages[-1], how)


def _spoiled(message: bytes, how: Spoiling) -> list[bytes]:
    """Of a snapshot that is one message, as all are that are small."""
    whole = Assembly().add(message)
    if how == "torn" or whole is None:
        return [message[:-3]]
    header, lines = opened(whole)
    if how == "foreign":
        return list(cut("foreign", header.model_copy(update={"anchor": _NO_ANCHOR}), lines))
    return list(cut("newer", header, [b'{"version":1000000}']))


class SimSnapshotStore(SnapshotStore):
    """The snapshots of one service, for one process; `is_up`: whether the broker answers."""

    def __init__(
        self, life: Life, messages: list[bytes], is_up: Callable[[], bool], holds: Callable[[Place], bool]
    ) -> None:
        self._life = life
        self._messages = messages
        self._is_up = is_up
        self._holds = holds

    @override
    def newest_first(self) -> Iterator[bytes]:
        self._wait_for_broker()
        assembly = Assembly()
        found = [whole for message in self._messages if (whole := assembly.add(message)) is not None]
        yield from reversed(found)

    @override
    def holds(self, place: Place) -> bool:
        self._wait_for_broker()
        return self._holds(place)

    @override
    def first(self) -> int:
        return 0

    @override
    def put(self, pieces: Iterator[bytes]) -> int:
        size = 0
        for piece in pieces:
            self._life.step(SHELF_S)
            if not self._is_up():
                raise SnapshotError("the broker did not take it")
            self._messages.append(piece)
            size += len(piece)
        return size

    def _wait_for_broker(self) -> None:
        for _ in range(ATTEMPTS):
            self._life.wait(self._life.random.random() * SHELF_S)
            if self._is_up():
                return
            self._life.wait(ATTEMPT_PAUSE_S)
        raise SnapshotError("the broker does not tell what it has")
