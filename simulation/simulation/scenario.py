"""Scenario: what happens in one simulation, as a value: what clients and operators do, what goes wrong, when.

All times are in virtual seconds. With the seed, which decides how long everything takes, it says all: the
same scenario always comes out the same.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from simulation.snapshot_store import Spoiling

Command = Literal[
    "start",
    "shutdown",
    "shutdown_clean",
    "reboot",
    "reboot_clean",
    "pause",
    "unpause",
    "suspend",
    "resume",
    "plug_vbd",
    "unplug_vbd",
    "plug_vif",
    "unplug_vif",
    "delay",
    "remove",
    "import",
    "add",
    "migrate",
    "add_vbd",
    "remove_vbd",
    "add_vif",
    "remove_vif",
    "set_vcpus",
    "set_memory",
    "set_carrier",
]
"""What a client may ask of a VM."""


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    at: float


class Operate(_Step):
    """A client asks for an operation."""

    kind: Literal["operate"] = "operate"
    vm: str
    command: Command
    seconds: float = 0.0


class Cancel(_Step):
    """A client cancels its so many-th last task, from 0."""

    kind: Literal["cancel"] = "cancel"
    back: int


class Trigger(_Step):
    """A guest does something by itself."""

    kind: Literal["trigger"] = "trigger"
    vm: str
    command: Literal["reboot", "halt", "crash"]


class Barrier(_Step):
    """A client puts up a barrier and takes it down when it is told of it."""

    kind: Literal["barrier"] = "barrier"
    vm: str


class Hold(_Step):
    """An operator holds a VM's lane for a while."""

    kind: Literal["hold"] = "hold"
    vm: str
    lasts_s: float


class Prioritise(_Step):
    """An operator moves the client's so many-th last task, from 0."""

    kind: Literal["prioritise"] = "prioritise"
    back: int
    priority: int


class Limit(_Step):
    """An operator says by when the client's so many-th last task, from 0, must have begun."""

    kind: Literal["limit"] = "limit"
    back: int
    within_s: float


class Drain(_Step):
    """An operator lets a worker be given nothing new for a while."""

    kind: Literal["drain"] = "drain"
    who: str
    lasts_s: float


class XapiStarts(_Step):
    """A host's xapi is started anew."""

    kind: Literal["xapi_starts"] = "xapi_starts"
    host: int = 0


class Kill(_Step):
    """A process is killed before its so many-th effect from now on, and started again after a while."""

    kind: Literal["kill"] = "kill"
    who: str
    effects: int
    down_s: float


class Lose(_Step):
    """A process is killed in the same way, and stays away until all that the others can do is done."""

    kind: Literal["lose"] = "lose"
    who: str
    effects: int


class Stop(_Step):
    """A process is asked to end (SIGTERM), and started again after a while."""

    kind: Literal["stop"] = "stop"
    who: str
    down_s: float


class Pause(_Step):
    """A process stands still (SIGSTOP) before an effect; another may take its place meanwhile."""

    kind: Literal["pause"] = "pause"
    who: str
    effects: int
    lasts_s: float
    replaced: bool = False


class Partition(_Step):
    """Nothing gets through between a process and the broker for a while."""

    kind: Literal["partition"] = "partition"
    who: str
    lasts_s: float


class Sever(_Step):
    """All connections between hosts are lost, and none can be made for a while; the broker is reached."""

    kind: Literal["sever"] = "sever"
    lasts_s: float


class Cut(_Step):
    """A process's connection is cut."""

    kind: Literal["cut"] = "cut"
    who: str


class Slow(_Step):
    """What a process sends and gets is slow for a while."""

    kind: Literal["slow"] = "slow"
    who: str
    latency_s: float
    lasts_s: float


class BrokerKill(_Step):
    """The broker is killed, and started again after a while."""

    kind: Literal["broker_kill"] = "broker_kill"
    down_s: float


class LogLost(_Step):
    """The broker is killed and comes back without the end of a host's log: `kept` of it is there (0 to 1).

    `bare`: nor has it any snapshots, as one that was made anew.
    """

    kind: Literal["log_lost"] = "log_lost"
    host: int = 0
    down_s: float
    kept: float = 0.0
    bare: bool = False


class Alarm(_Step):
    """The broker is out of memory or disk for a while."""

    kind: Literal["alarm"] = "alarm"
    lasts_s: float


class WriterFails(_Step):
    """The log's writer is restarted: what is sent meanwhile is written or not, and never confirmed."""

    kind: Literal["writer_fails"] = "writer_fails"
    lasts_s: float


class DiskFull(_Step):
    """The disk under a host's journal and metadata is full for a while."""

    kind: Literal["disk_full"] = "disk_full"
    host: int = 0
    lasts_s: float


class Skew(_Step):
    """A process's clock is set to be off the true time."""

    kind: Literal["skew"] = "skew"
    who: str
    skew_s: float


class VerbFails(_Step):
    """The hypervisor fails at a VM's so many-th next verb."""

    kind: Literal["verb_fails"] = "verb_fails"
    vm: str
    host: int = 0
    verbs: int


class VerbSlow(_Step):
    """The hypervisor takes its time at a VM's so many-th next verb."""

    kind: Literal["verb_slow"] = "verb_slow"
    vm: str
    host: int = 0
    verbs: int
    seconds: float


class Spoil(_Step):
    """The newest snapshots of a kind of service are spoiled."""

    kind: Literal["spoil"] = "spoil"
    service: Literal["redirector", "eventhub", "worker"]
    how: Spoiling


Deed = Operate | Cancel | Trigger | Barrier | Hold | Prioritise | Limit | Drain
"""What clients, guests and operators do."""

Fault = (
    Kill
    | Lose
    | Stop
    | Pause
    | Partition
    | Sever
    | Cut
    | Slow
    | BrokerKill
    | LogLost
    | Alarm
    | WriterFails
    | DiskFull
    | Skew
    | VerbFails
    | VerbSlow
    | Spoil
)
"""What goes wrong."""

LASTS_S = 30.0
"""How long clients are busy and things go wrong, at most."""

ABSENT_S = 400.0
"""How long an instance's only worker is away that is lost: longer than any source asks for it."""

Step = Annotated[Deed | XapiStarts | Fault, Field(discriminator="kind")]


class Scenario(BaseModel):
    """All of it.

    `workers` share the first host: its hypervisor, its metadata, its journal. Of two `hosts` each has an
    instance of its own, and VMs migrate between them. Whoever follows the updates looks at VMs, and, with
    `devices`, at disks and interfaces, too.

    After `lasts_s` nothing goes wrong any more, though xapi may start even then. Services put their folds
    away after `snapshot_every` records and start from what was put away; 0: never.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    vms: tuple[str, ...]
    workers: int = 1
    hosts: Literal[1, 2] = 1
    devices: bool = False
    lasts_s: float = LASTS_S
    snapshot_every: int = 0
    steps: tuple[Step, ...]
