"""Claims: which names a running task has besides its VM's own, so that no other task runs on them meanwhile.

A migrating VM bears a temporary id at each side; what is asked of it under any of its names waits for the
migration. VMs whose virtual GPUs are functions of one physical GPU (MxGPU) take turns, as in the original.
"""

from collections.abc import Iterator

from schema.ids import TaskId, VmId

from redirector.brief import Brief


class Claims:
    """All of an instance's running tasks."""

    def __init__(self) -> None:
        self._names: dict[VmId, TaskId] = {}
        self._sharing: dict[VmId, None] = {}
        self._shared_by: set[TaskId] = set()

    def share(self, vm: VmId, *, shares: bool) -> None:
        """From now on the VM takes turns with all others that share, or no longer."""
        if shares:
            self._sharing[vm] = None
        else:
            self._sharing.pop(vm, None)

    def sharing(self) -> Iterator[VmId]:
        """All VMs that take turns."""
        yield from self._sharing

    def shares(self, vm: VmId) -> bool:
        """Whether a VM takes turns with others."""
        return vm in self._sharing

    def add(self, task: TaskId, vm: VmId, brief: Brief) -> None:
        """A task runs."""
        if brief.other_name is not None:
            self._names[brief.other_name] = task
        if vm in self._sharing:
            self._shared_by.add(task)

    def drop(self, task: TaskId, brief: Brief) -> None:
        """A task has ended."""
        if brief.other_name is not None and self._names.get(brief.other_name) == task:
            del self._names[brief.other_name]
        self._shared_by.discard(task)

    def named_by(self, vm: VmId) -> TaskId | None:
        """The task that runs under this name, though it is another VM's."""
        return self._names.get(vm)

    def shared_by(self) -> TaskId | None:
        """The task that has the turn of all that share, if one has."""
        return next(iter(self._shared_by), None)
