"""Overseen: what is written down for those who look after an instance."""

from typing import Literal, NamedTuple

from schema.ids import VmId
from schema.kept import LogRecord


class Atom(NamedTuple):
    """An atomic that a task has performed: when it began, in seconds from the task's begin, and for how long.

    Travels as an array: a task may have a hundred of them.
    """

    kind: str
    began_s: float
    took_s: float
    failed: bool = False


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
