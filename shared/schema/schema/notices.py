"""Notices: what services tell each other directly, outside the log, about records in it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schema.ids import TaskId
from schema.objects.errors import Error


class _Notice(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Accepted(_Notice):
    """The redirector has a task in a lane."""

    kind: Literal["Accepted"] = "Accepted"
    request_id: str
    task: TaskId


class Rejected(_Notice):
    """The redirector does not take a task, for the reason that `error` gives."""

    kind: Literal["Rejected"] = "Rejected"
    request_id: str
    error: Error


class Ended(_Notice):
    """A task that is awaited has ended, well unless there is an `error`; may be told more than once."""

    kind: Literal["Ended"] = "Ended"
    request_id: str
    error: Error | None


Notice = Annotated[Accepted | Rejected | Ended, Field(discriminator="kind")]
"""What a redirector answers to a `Submitted`."""
