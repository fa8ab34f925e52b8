"""Effects: what the redirector's core wants done, for its shell to do."""

from dataclasses import dataclass, field

from bus.ports import Request
from schema.notices import Notice
from schema.records import Record

from redirector.lane import Waiting


@dataclass(frozen=True, slots=True)
class Append:
    """Write a record to the instance's log; `waited` is the task whose waiting it ends, if it does."""

    record: Record
    waited: Waiting | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell whoever submitted a task, directly, whether it was accepted."""

    reply_to: str
    notice: Notice


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a request."""

    request: Request
    body: bytes


@dataclass(frozen=True, slots=True)
class Pass:
    """Hand a request on to the redirector that leads."""

    leader: str
    request: Request


Answer = Append | Reply | Pass
"""What becomes of a request of an operator."""

Effect = Append | Notify
"""What a redirector's decisions come to."""
