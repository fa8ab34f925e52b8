"""Overseen: what is written down for those who look after an instance."""

from typing import Literal, NamedTuple

from schema.debug_info import read_debug_info
from schema.ids import InstanceName, VmId
from schema.log_records import LogRecord


class Atom(NamedTuple):
    """An atomic that a task has performed: when it began, in seconds from the task's begin, and for how long.

    Travels as an array: a task may have a hundred of them.
    """

    kind: str
    began_s: float
    took_s: float
    failed: bool = False


NAME_MAX = 200
"""Characters of a name by which somebody calls himself."""


class Wish(LogRecord):
    """What somebody wants of tasks, lanes or workers.

    `by` is what he calls himself, which nobody has proved; "" where a service wants it, or an older one
    wrote it down.
    """

    by: str = ""


def named(debug_info: str) -> str:
    """Who asks, as `Wish` has it, by his request's `debug_info`; bytes in it that are no text, escaped."""
    name = read_debug_info(debug_info).log[:NAME_MAX]
    return name.encode("utf-8", "backslashreplace").decode()[:NAME_MAX]


class Acted(LogRecord):
    """An operator asks for an action; `who` is the name of the token that he showed.

    Written before anything is done: what comes of it is in records of its own.
    """

    kind: Literal["Acted"] = "Acted"
    vm: VmId | None = None
    who: str
    action: str
    subject: str


class Pinged(LogRecord):
    """A process looks whether it still reads what it writes; `number` tells its words apart."""

    kind: Literal["Pinged"] = "Pinged"
    by: str
    number: int


RETRY_MESSAGE, DISCARD_MESSAGE = "retry-message", "discard-message"
"""What `Acted` calls an operator's wish about a message in quarantine; its subject is `message_name`."""


def message_name(log: str, offset: int) -> str:
    """How a message of a log is called: `<log>@<offset>`."""
    return f"{log}@{offset}"


class QuarantineRetried(LogRecord):
    """A message in quarantine was judged again and counts now: it was appended anew, before this record.

    `record` is its kind, `who` the operator whose `Acted` asked for it.
    """

    kind: Literal["QuarantineRetried"] = "QuarantineRetried"
    log: InstanceName
    offset: int
    who: str
    record: str


class QuarantineDiscarded(LogRecord):
    """An operator has seen a message in quarantine, and wants nothing of it."""

    kind: Literal["QuarantineDiscarded"] = "QuarantineDiscarded"
    log: InstanceName
    offset: int
    who: str
