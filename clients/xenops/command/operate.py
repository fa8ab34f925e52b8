"""Operate: a command on a VM is asked for, and its tasks are waited for and shown."""

from argparse import Namespace

from schema.wire.value import Dict

from xenops.client import Client
from xenops.command.operations import OPERATIONS
from xenops.command.screen import Screen, Shown, Table
from xenops.events import wait_for_task


class InterruptedWaitError(Exception):
    """The user does not want to wait for a task any longer."""

    def __init__(self, task: str) -> None:
        super().__init__(
            f"task {task} goes on: `xenops tasks` shows how far it is, `xenops cancel {task}` stops it"
        )


def operate(client: Client, arguments: Namespace, screen: Screen) -> None:
    """Do what a command of `OPERATIONS` says, and wait for it, unless that is not wanted."""
    vm, command = arguments.vm, arguments.command
    operation = OPERATIONS[command]
    tasks = operation.submit(client, arguments)
    if arguments.no_wait:
        for task in tasks:
            screen.show(Shown(Dict([("task", task)]), (Table(("",), ((task,),)),)))
        return
    duration_s = sum(_wait(client, task, arguments, screen) for task in tasks)
    hint = operation.hint_on(client, vm) if len(tasks) == 1 and screen.is_for_people else ""
    screen.say(f"{command} of {_subject(arguments)} is done, in {duration_s:.3f} s{hint}")


def _subject(arguments: Namespace) -> str:
    """What it is done to, for people: a VM, or one of its devices."""
    device = getattr(arguments, "device", None)
    return arguments.vm if device is None else f"{arguments.vm} {device}"


def _wait(client: Client, task: str, arguments: Namespace, screen: Screen) -> float:
    """Wait for one task and show its end; answers how long it took, in seconds."""
    try:
        with screen.progress(f"{arguments.command} {_subject(arguments)} (task {task})") as on_progress:
            done = wait_for_task(client, task, arguments.wait, on_progress)
    except KeyboardInterrupt as interrupt:
        raise InterruptedWaitError(task) from interrupt
    screen.show(Shown(Dict([("task", task), ("duration", done.duration)])))
    return done.duration
