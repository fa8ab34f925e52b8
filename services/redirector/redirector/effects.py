"""Effects: what the redirector's core wants done, for its shell to do."""

from dataclasses import dataclass

from schema.notices import Notice
from schema.records import Record


@dataclass(frozen=True, slots=True)
class Append:
    """Write a record to the instance's log."""

    record: Record


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell whoever submitted a task, directly, whether it was accepted."""

    reply_to: str
    notice: Notice


Effect = Append | Notify
