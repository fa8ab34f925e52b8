"""Requests: which ones have been met, so that a repeat is known as one as long as one may come.

Whoever submits may repeat a record until it is accepted, at the latest when it must be; and a client its
request, if that has an id of its own (`schema.again`). So long it is remembered, by the clock of the log's
writers, and a while longer, for their clocks differ.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from schema.again import REPEATED_S, is_id
from schema.ids import TaskId

CLOCKS_DIFFER_S = 60.0
"""More than the clocks of hosts of one instance differ."""

ACCEPT_S_MAX = 300.0
"""Whoever lets a request be accepted later than this may find it done twice if he repeats it."""

REMEMBERED_MAX = 200_000
"""More than come in the time in which a repeat may come; the oldest go first, however young."""


class Requests:
    """Requests in the order in which they came, each with its first task."""

    def __init__(self, most: int = REMEMBERED_MAX) -> None:
        self._most = most
        self._met: OrderedDict[str, tuple[TaskId, float]] = OrderedDict()
        self._refused: dict[str, None] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._met)

    def first(self, request_id: str) -> TaskId | None:
        """The task of the first record of a request."""
        met = self._met.get(request_id)
        return None if met is None else met[0]

    def note(self, request_id: str, task: TaskId, *, at: float, accept_by: float) -> None:
        """A request is met for the first time; those that cannot be repeated any more are forgotten."""
        until = min(accept_by, at + ACCEPT_S_MAX)
        if is_id(request_id):
            until = max(until, at + REPEATED_S)
        self._met[request_id] = (task, until + CLOCKS_DIFFER_S)
        while self._met:
            oldest, (_, until) = next(iter(self._met.items()))
            if until > at and len(self._met) <= self._most:
                return
            del self._met[oldest]
            self._refused.pop(oldest, None)

    def fill(self, requests: Iterable[tuple[str, tuple[TaskId, float]]]) -> None:
        """These requests are known, in this order, each with its task and until when."""
        self._met = OrderedDict(requests)

    def refuse(self, request_id: str) -> None:
        """A request is refused for good: whoever has heard so must not find a repeat of it run."""
        if request_id in self._met:
            self._refused[request_id] = None

    def is_refused(self, request_id: str) -> bool:
        """Whether a request was met and refused."""
        return request_id in self._refused

    def refused(self) -> Iterator[str]:
        """Every request that was refused."""
        yield from self._refused

    def items(self) -> Iterator[tuple[str, TaskId, float]]:
        """Every request with its task, and until when it is remembered, in order."""
        for request_id, (task, until) in self._met.items():
            yield request_id, task, until
