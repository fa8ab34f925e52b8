"""Log records: what every record is, and those by which a log itself is kept."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schema.ids import VmId

ROUTINE = frozenset({"Heartbeat", "Pinged", "Snapshotted"})
"""The kinds of what services write every few seconds although nothing happens: people ask for them."""


class LogRecord(BaseModel):
    """A fact or a wish, once appended never changed. Unknown keys of a newer writer are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class Snapshotted(LogRecord):
    """A service has put its state away: it needs nothing of the log before `next` any more."""

    kind: Literal["Snapshotted"] = "Snapshotted"
    service: str
    next: int
    bytes: int


class LifeBegan(LogRecord):
    """The broker has lost a part of the log, or all of it, and a service that knew it has noticed.

    What was given out as a place in the log is void from here on (docs/adr/0018-retention.md).
    """

    kind: Literal["LifeBegan"] = "LifeBegan"
    reason: str


class Stranded(LogRecord):
    """What stands under a temporary id though its migration has ended; `of`: the VM's own id.

    `state`: *kept*, for a VM of which `where`, its destination, does not say whether it runs there; *left
    over*, of one that runs on the other side, or shall: it goes as soon as it can; *overdue*, for one that
    has arrived and takes its name as soon as it can.
    """

    vm: VmId
    of: VmId
    state: Literal["kept", "left over", "overdue"]
    where: str = ""
