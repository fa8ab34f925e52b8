"""Tasks: an operation under way or ended, as clients see it."""

from typing import Annotated, Literal

from pydantic import Field

from schema.wire.types import Arm, Assoc, Rpc, Struct, Variant


class Completion(Struct, wire="completion_t"):
    """`Task.completion_t`."""

    duration: float
    result: Rpc | None = None


class Pending(Arm):
    """`Task.state`, arm `Pending`."""

    kind: Literal["Pending"] = "Pending"
    progress: float


class Completed(Arm):
    """`Task.state`, arm `Completed`."""

    kind: Literal["Completed"] = "Completed"
    completion: Completion


class Failed(Arm):
    """`Task.state`, arm `Failed`."""

    kind: Literal["Failed"] = "Failed"
    error: Rpc


TaskState = Annotated[
    Pending | Completed | Failed,
    Field(discriminator="kind"),
    Variant("state"),
]
"""`Task.state`."""


class Task(Struct, wire="t"):
    """`Task.t`."""

    id: str
    dbg: str
    ctime: float
    state: TaskState
    subtasks: Assoc[TaskState]
    debug_info: Assoc[str]
    backtrace: str
    cancellable: bool
