"""Followers: tasks that were merged into another, and end with it; every step O(1)."""

from collections.abc import Iterator

from schema.ids import TaskId


class Followers:
    """All that were merged and have not ended, each with the task that it follows."""

    def __init__(self) -> None:
        self._leader_of: dict[TaskId, TaskId] = {}
        self._followers_of: dict[TaskId, dict[TaskId, None]] = {}

    def __contains__(self, task: TaskId) -> bool:
        """Whether a task follows another."""
        return task in self._leader_of

    def add(self, task: TaskId, leader: TaskId) -> None:
        """A task follows another from now on."""
        self._leader_of[task] = leader
        self._followers_of.setdefault(leader, {})[task] = None

    def end(self, task: TaskId) -> list[TaskId]:
        """A task has ended; answers it and all that ended with it."""
        leader = self._leader_of.pop(task, None)
        if leader is not None:
            of_leader = self._followers_of[leader]
            del of_leader[task]
            if not of_leader:
                del self._followers_of[leader]
        ended = [task]
        for follower in self._followers_of.pop(task, ()):
            del self._leader_of[follower]
            ended += self.end(follower)
        return ended

    def items(self) -> Iterator[tuple[TaskId, TaskId]]:
        """Every follower with the task that it follows."""
        yield from self._leader_of.items()
