"""Generate: a scenario from a seed, and nothing else."""

from collections.abc import Callable
from random import Random
from typing import Literal, get_args

from simulation.requests import AT_ONCE
from simulation.scenario import (
    ABSENT_S,
    LASTS_S,
    Alarm,
    Barrier,
    BrokerKill,
    Cancel,
    Command,
    Cut,
    DiskFull,
    Drain,
    Hold,
    Kill,
    Limit,
    LogLost,
    Lose,
    Operate,
    Partition,
    Pause,
    Prioritise,
    Scenario,
    Sever,
    Skew,
    Slow,
    Spoil,
    Step,
    Stop,
    Trigger,
    VerbFails,
    VerbSlow,
    WriterFails,
    XapiStarts,
)
from simulation.snapshot_store import Spoiling

_COMMANDS = tuple(command for command in get_args(Command) if command != "migrate")
_ROAMING = tuple(command for command in _COMMANDS if command not in AT_ONCE)
_COMMANDS_OF_ONE = (*_COMMANDS, *(2 * ("start", "unpause")))
"""Most is asked of VMs that run: what is asked of others fails at once."""

_COMMANDS_OF_TWO = (*_ROAMING, *(3 * ("start", "unpause")), *(10 * ("migrate",)))
"""Where VMs migrate, they are not removed and made: there must be one of each in the end."""

_THERE = ("redirector-there", "eventhub-there", "frontend-there", "worker-there", "worker-there")
_STARTED_AT = 0.4
"""When VMs are started that shall migrate: once services are up."""

_TWO_HOSTS = 0.15
"""How often VMs migrate."""

_SERVICES = ("redirector-1", "redirector-2", "eventhub-1", "eventhub-2", "frontend-1", "frontend-2")
_FOLDS: tuple[Literal["redirector", "eventhub", "worker"], ...] = ("redirector", "eventhub", "worker")
_SKEW_S = 2.0
_DEVICES = 0.3
"""How often devices are looked at where no VM migrates."""

_LOSES = 0.3
"""How often one worker of two is lost."""

_STAYS_AWAY = 0.04
"""How often, where VMs migrate, a worker stays away for longer than others ask for it."""

_XAPI_STARTS = 0.3
"""How often, where VMs migrate, a host's xapi is started anew meanwhile."""

_LOSES_LOG = 0.05
"""How often a log is lost; where there are two, one of them, or both."""


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed: a handful of VMs, up to 8 faults, 20 to 60 deeds, or fewer in less time."""
    has_two = Random(f"hosts {seed}").random() < _TWO_HOSTS
    random = Random(f"scenario {seed}")
    vms = tuple(f"vm{number}" for number in range(random.randint(1, 5)))
    workers = random.choice((1, 1, 2))
    lasts_s = random.choice((LASTS_S / 3, LASTS_S * 2 / 3, LASTS_S))
    number = round(random.randint(20, random.choice((30, 30, 60))) * lasts_s / LASTS_S)
    commands = _COMMANDS_OF_TWO if has_two else _COMMANDS_OF_ONE
    deeds = [_deed(random, vms, lasts_s, commands) for _ in range(number)]
    who = (*_SERVICES, *(3 * [f"worker-{number + 1}" for number in range(workers)]))
    who = (*who, *_THERE) if has_two else who
    if has_two:
        deeds += [Operate(at=_STARTED_AT, vm=vm, command="start") for vm in vms]
    faults = [_fault(random, (vms, who), lasts_s) for _ in range(random.randint(0, 8))]
    if workers > 1 and random.random() < _LOSES:
        faults.append(_lost(random, "worker-2", lasts_s))
    snapshot_every = random.choice((0, 0, 20, 60))
    xapi = _xapi(Random(f"xapi {seed}"), lasts_s) if has_two else []
    if has_two and (absence := Random(f"absence {seed}")).random() < _STAYS_AWAY:
        away = absence.choice((0, 1))
        faults.append(_lost(absence, ("worker-1", "worker-there")[away], lasts_s))
        xapi.append(XapiStarts(at=round(lasts_s + absence.uniform(0.0, ABSENT_S), 3), host=1 - away))
    faults += _losses(Random(f"log {seed}"), lasts_s, hosts=2 if has_two else 1)
    steps = sorted((*deeds, *faults, *xapi), key=lambda step: step.at)
    return Scenario(
        seed=seed,
        vms=vms,
        workers=workers,
        hosts=2 if has_two else 1,
        devices=has_two or Random(f"devices {seed}").random() < _DEVICES,
        lasts_s=lasts_s,
        snapshot_every=snapshot_every,
        steps=tuple(steps),
    )


def _lost(random: Random, who: str, until_s: float) -> Lose:
    return Lose(at=round(random.uniform(0.5, until_s), 3), who=who, effects=random.randrange(30))


def _xapi(random: Random, until_s: float) -> list[Step]:
    """While some VMs may bear the ids that no xapi knows."""
    if random.random() >= _XAPI_STARTS:
        return []
    times = random.choice((1, 2, 4))
    return [
        XapiStarts(at=round(random.uniform(0.5, until_s), 3), host=random.randrange(2)) for _ in range(times)
    ]


def _losses(random: Random, until_s: float, hosts: int) -> list[Step]:
    """Of one log, or, where there are two, of either or both at once."""
    if random.random() >= _LOSES_LOG * hosts:
        return []
    at, down_s = round(random.uniform(0.5, until_s), 3), round(random.uniform(1.0, 8.0), 3)
    kept = random.choice((0.0, round(random.random(), 3)))
    lost = LogLost(at=at, down_s=down_s, kept=kept, bare=random.random() < 0.5)
    of = random.choice(((0,), (1,), (0, 1))) if hosts > 1 else (0,)
    return [lost.model_copy(update={"host": host}) for host in of]


def _deed(random: Random, vms: tuple[str, ...], lasts_s: float, commands: tuple[Command, ...]) -> Step:
    at, vm = round(random.uniform(0.5, lasts_s), 3), random.choice(vms)
    makers: tuple[Callable[[], Step], ...] = (
        lambda: Cancel(at=at, back=random.randrange(4)),
        lambda: Trigger(at=at, vm=vm, command=random.choice(("reboot", "halt", "crash"))),
        lambda: Barrier(at=at, vm=vm),
        lambda: Hold(at=at, vm=vm, lasts_s=round(random.uniform(0.1, 10.0), 3)),
        lambda: Limit(at=at, back=random.randrange(4), within_s=round(random.uniform(0.0, 5.0), 3)),
        lambda: Drain(at=at, who="worker-1", lasts_s=round(random.uniform(0.1, 10.0), 3)),
        lambda: Prioritise(at=at, back=random.randrange(4), priority=random.randint(-3, 3)),
    )
    if random.random() < 0.75:
        seconds = round(random.uniform(0.0, 15.0), 3)
        return Operate(at=at, vm=vm, command=random.choice(commands), seconds=seconds)
    return random.choice(makers)()


def _fault(random: Random, where: tuple[tuple[str, ...], tuple[str, ...]], until_s: float) -> Step:
    """`where`: the VMs and the processes that it may strike."""
    vms, names = where
    at, vm, who = round(random.uniform(0.5, until_s), 3), random.choice(vms), random.choice(names)
    effects, lasts_s = random.randrange(30), round(random.uniform(0.1, 8.0), 3)
    long_s = round(random.choice((random.uniform(0.1, 10.0), random.uniform(10.0, 60.0))), 3)
    has_two = _THERE[0] in names
    host = random.randrange(2) if has_two else 0
    makers: tuple[Callable[[], Step], ...] = (
        lambda: Kill(at=at, who=who, effects=effects, down_s=lasts_s),
        lambda: Kill(at=at, who=who, effects=effects, down_s=long_s),
        lambda: Stop(at=at, who=who, down_s=lasts_s),
        lambda: Pause(at=at, who=who, effects=effects, lasts_s=long_s, replaced=random.random() < 0.4),
        lambda: Partition(at=at, who=who, lasts_s=long_s),
        lambda: Cut(at=at, who=who),
        lambda: Slow(at=at, who=who, latency_s=round(random.uniform(0.05, 3.0), 3), lasts_s=long_s),
        lambda: BrokerKill(at=at, down_s=lasts_s),
        lambda: Alarm(at=at, lasts_s=long_s),
        lambda: WriterFails(at=at, lasts_s=lasts_s),
        lambda: DiskFull(at=at, host=host, lasts_s=lasts_s),
        lambda: Skew(at=at, who=who, skew_s=round(random.uniform(-_SKEW_S, _SKEW_S), 3)),
        lambda: Spoil(at=at, service=random.choice(_FOLDS), how=random.choice(get_args(Spoiling))),
        lambda: VerbFails(at=at, vm=vm, host=host, verbs=random.randrange(8)),
        lambda: VerbSlow(at=at, vm=vm, host=host, verbs=random.randrange(8), seconds=long_s),
    )
    if has_two:
        makers = (*makers, *(2 * (lambda: Sever(at=at, lasts_s=lasts_s),)))
    return random.choice(makers)()
