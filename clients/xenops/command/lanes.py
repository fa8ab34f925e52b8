"""Lanes: the commands by which an operator sees what waits, changes its order, and drains workers."""

import argparse
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from bus.ports import BusError
from schema.fault import XenopsError
from schema.objects.errors import DoesNotExist
from schema.objects.lane import Lane, Lanes, LaneTasks, WaitingTask, Worker
from schema.objects.task import Pending, Task
from schema.wire.codec import to_rpc
from schema.wire.value import Dict

from xenops.client import Client
from xenops.command.amounts import count_of, seconds_of
from xenops.command.parsing import VM_HELP
from xenops.command.screen import Screen, Shown, Table

WAITING_HELP = "one that waits, as `xenops lanes VM` shows it"
WORKER_HELP = "as `xenops workers` shows it"

DRAIN_LOOK_S = 0.5
"""How often a worker that is being drained is looked at."""

LOOK_S = 2.0
"""So long a redirector may take to say what tasks do, where that is shown beside something else."""

LOOKED_INTO_MAX = 100
"""Lanes of which waiting tasks are named beside something else; each is a question."""

LANES = 1_000

Action = Callable[[Client, Namespace, Screen], None]
Command = Callable[[str, str], argparse.ArgumentParser]


def add_commands(command: Command) -> None:
    """Declare all commands about lanes and workers."""
    lanes = command("lanes", "show what waits for each VM and what runs, or all that waits for one")
    lanes.add_argument("vm", metavar="VM", nargs="?", help="only this one, with all its tasks in order")
    lanes.add_argument(
        "--limit",
        type=count_of,
        default=LANES,
        metavar="LANES",
        help=f"so many at the most (default {LANES})",
    )
    for name, sentence in (
        ("lane-hold", "let no more tasks of a VM begin; what runs goes on"),
        ("lane-release", "let a VM's tasks begin again"),
    ):
        command(name, sentence).add_argument("vm", metavar="VM", help=VM_HELP)
    first = command("prioritise", "let a waiting task begin before all others of its VM of lower priority")
    first.add_argument("task", metavar="TASK", help=WAITING_HELP)
    first.add_argument("priority", type=int, metavar="PRIORITY", help="-1000 to 1000; 0 is usual")
    deadline = command("deadline", "let a waiting task fail unless it begins in time")
    deadline.add_argument("task", metavar="TASK", help=WAITING_HELP)
    deadline.add_argument("within", type=_seconds, metavar="SECONDS", help="from now on, or `none`")
    command("workers", "show the workers: who is up, how busy, who is drained")
    drain = command("worker-drain", "give a worker nothing new, and wait until what it runs has ended")
    drain.add_argument("worker", metavar="WORKER", help=WORKER_HELP)
    drain.add_argument("--no-wait", action="store_true", help="do not wait for that")
    undrain = command("worker-undrain", "give a worker tasks again")
    undrain.add_argument("worker", metavar="WORKER", help=WORKER_HELP)


def _seconds(text: str) -> float | None:
    return None if text == "none" else seconds_of(text)


def _lanes(client: Client, arguments: Namespace, screen: Screen) -> None:
    if arguments.vm is not None:
        screen.show(of_lane(_known(client, arguments.vm)))
        return
    lanes = client.lane.list(arguments.limit)
    screen.show(of_lanes(lanes))
    screen.say(f"tasks waiting: {lanes.waiting}; lanes shown: {len(lanes.lanes)} of {lanes.total}")


def _known(client: Client, vm: str) -> LaneTasks:
    """The lane of a VM; raises XenopsError if there is neither the VM nor anything in its lane.

    Where nobody can say which VMs there are, it is believed that there is that one.
    """
    found = client.lane.stat(vm)
    if not found.tasks and found.lane.leased is None and not found.lane.held:
        try:
            is_there = client.vm.exists(vm)
        except (BusError, XenopsError):
            is_there = True
        if not is_there:
            raise XenopsError(DoesNotExist(klass="VM", id=vm))
    return found


def _hold(client: Client, arguments: Namespace, screen: Screen) -> None:
    _known(client, arguments.vm)
    client.lane.hold(arguments.vm)
    screen.say(f"no more tasks of {arguments.vm} begin: `xenops lane-release {arguments.vm}` lets them")
    screen.show(Shown(Dict([("vm", arguments.vm), ("held", True)])))


def _release(client: Client, arguments: Namespace, screen: Screen) -> None:
    _known(client, arguments.vm)
    client.lane.release(arguments.vm)
    screen.say(f"tasks of {arguments.vm} begin again")
    screen.show(Shown(Dict([("vm", arguments.vm), ("held", False)])))


def _prioritise(client: Client, arguments: Namespace, screen: Screen) -> None:
    client.lane.prioritise(arguments.task, arguments.priority)
    screen.say(f"task {arguments.task} has the priority {arguments.priority}")
    screen.show(Shown(Dict([("task", arguments.task), ("priority", arguments.priority)])))


def _deadline(client: Client, arguments: Namespace, screen: Screen) -> None:
    client.lane.set_deadline(arguments.task, arguments.within)
    within = arguments.within
    until = "may wait for ever" if within is None else f"fails unless it begins within {within:g} s"
    screen.say(f"task {arguments.task} {until}")
    screen.show(Shown(Dict([("task", arguments.task), ("within", arguments.within)])))


def _workers(client: Client, _arguments: Namespace, screen: Screen) -> None:
    screen.show(of_workers(client.worker.list()))


def _drain(client: Client, arguments: Namespace, screen: Screen) -> None:
    client.worker.drain(arguments.worker)
    while (worker := _worker(client, arguments.worker)).state != "drained" and not arguments.no_wait:
        screen.say(f"{arguments.worker} is given nothing new; tasks under way there: {worker.leases}")
        time.sleep(DRAIN_LOOK_S)
    screen.show(of_workers((worker,)))
    screen.say(f"`xenops worker-undrain {arguments.worker}` gives it tasks again")


def _undrain(client: Client, arguments: Namespace, screen: Screen) -> None:
    client.worker.undrain(arguments.worker)
    screen.show(of_workers((_worker(client, arguments.worker),)))


def _worker(client: Client, name: str) -> Worker:
    return next(worker for worker in client.worker.list() if worker.worker == name)


ACTIONS: Mapping[str, Action] = {
    "lanes": _lanes,
    "lane-hold": _hold,
    "lane-release": _release,
    "prioritise": _prioritise,
    "deadline": _deadline,
    "workers": _workers,
    "worker-drain": _drain,
    "worker-undrain": _undrain,
}
"""All commands about lanes and workers."""


def doings(client: Client, tasks: tuple[Task, ...]) -> Mapping[str, tuple[str, str]]:
    """By task, its VM and operation: of those that run or wait, as far as a redirector says it soon."""
    if not any(isinstance(task.state, Pending) for task in tasks):
        return {}
    found = {}
    lane_calls = client.patient(LOOK_S).lane
    try:
        lanes = lane_calls.list(LANES).lanes
        for lane in lanes:
            if lane.leased is not None:
                found[lane.leased.task] = (lane.vm, lane.leased.operation)
        for lane in [lane for lane in lanes if lane.waiting][:LOOKED_INTO_MAX]:
            found.update({one.task: (lane.vm, one.operation) for one in lane_calls.stat(lane.vm).tasks})
    except (BusError, XenopsError):
        pass  # they are shown without
    return found


def of_lanes(lanes: Lanes) -> Shown:
    """One line for each lane."""
    rows = tuple(_row(lane) for lane in lanes.lanes)
    return Shown(
        to_rpc(Lanes, lanes), (Table(("VM", "WAITING", "RUNS", "WORKER", "SINCE", "BLOCKED"), rows),)
    )


def _row(lane: Lane) -> tuple[str, ...]:
    leased = lane.leased
    blocked = "held" if lane.held else lane.blocked
    if leased is None:
        return (lane.vm, str(lane.waiting), "-", "-", "-", blocked)
    runs = f"{leased.task} {leased.operation}" + (", parked" if leased.parked else "")
    return (lane.vm, str(lane.waiting), runs, leased.worker, _time(leased.since), blocked)


def of_lane(found: LaneTasks) -> Shown:
    """One lane, and a line for each task that waits in it, the next one first."""
    tasks = tuple(_task_row(task) for task in found.tasks)
    lane = Table(("VM", "WAITING", "RUNS", "WORKER", "SINCE", "BLOCKED"), (_row(found.lane),))
    waiting = (Table(("TASK", "OPERATION", "SINCE", "PRIORITY", "DEADLINE"), tasks),) if tasks else ()
    return Shown(to_rpc(LaneTasks, found), (lane, *waiting))


def _task_row(task: WaitingTask) -> tuple[str, ...]:
    deadline = "-" if task.deadline is None else _time(task.deadline)
    return (task.task, task.operation, _time(task.since), str(task.priority), deadline)


def of_workers(workers: tuple[Worker, ...]) -> Shown:
    """One line for each worker."""
    rows = tuple(
        (one.worker, one.state, f"{one.busy} of {one.capacity}", str(one.leases), f"{one.silent_s:.1f} s ago")
        for one in workers
    )
    table = Table(("WORKER", "STATE", "BUSY", "TASKS", "HEARD"), rows)
    return Shown([to_rpc(Worker, one) for one in workers], (table,))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
