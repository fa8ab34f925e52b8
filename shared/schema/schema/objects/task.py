"""Tasks: an operation under way or ended, as clients see it."""

from typing import Annotated, Literal

from pydantic import Field

from schema.wire.types import Arm, Assoc, Rpc, Struct, Variant


class Completion(Struct, wire="completion_t"):
    """How a task went well: seconds, and its result as a wire value, if it has one."""

    duration: float
    result: Rpc | None = None


class Pending(Arm):
    """Under way: how far, from 0 to 1."""

    kind: Literal["Pending"] = "Pending"
    progress: float


class Completed(Arm):
    """It went well."""

    kind: Literal["Completed"] = "Completed"
    completion: Completion


class Failed(Arm):
    """It failed: an error of the interface as a wire value."""

    kind: Literal["Failed"] = "Failed"
    error: Rpc


TaskState = Annotated[
    Pending | Completed | Failed,
    Field(discriminator="kind"),
    Variant("state"),
]
"""`Task.state`."""


class Task(Struct, wire="t"):
    """An operation under way or ended: the original's `Task.t`.

    `dbg` is what its client calls it. `ctime` is in seconds since the epoch. `subtasks` are states by name.
    `backtrace` is an s-expression. `cancellable`: a cancel may still come in time.
    """

    id: str
    dbg: str
    ctime: float
    state: TaskState
    subtasks: Assoc[TaskState]
    debug_info: Assoc[str]
    backtrace: str
    cancellable: bool
