"""Watch: VMs and the tasks that are under way, drawn anew whenever something has changed."""

import argparse
import time
from argparse import Namespace
from collections.abc import Callable

from bus.ports import BusError
from schema.objects.task import Pending
from schema.wire.value import Dict

from xenops.client import Client
from xenops.command import views
from xenops.command.lanes import doings
from xenops.command.screen import Screen, Shown, Table
from xenops.events import GET_TIMEOUT_S

PAUSE_S = 0.3
"""Between two frames: what changes meanwhile is in the next one."""

AGAIN_S = 1.0
"""After so long one looks again whether services that were out of reach are back."""

EPILOG = """\
Ctrl and C ends it. Without a terminal, or with --json, frames come one after the other. Nothing is asked but
what has changed, so watching costs an instance little.
"""

Command = Callable[[str, str], argparse.ArgumentParser]


def add_watch_command(command: Command) -> None:
    """Declare the command."""
    watch = command("watch", "watch VMs and their tasks: what `list`, or `stat VM`, shows, kept up to date")
    watch.formatter_class = argparse.RawDescriptionHelpFormatter
    watch.epilog = EPILOG
    watch.add_argument("vm", metavar="VM", nargs="?", help="only that, with its devices")


def show_watch(client: Client, arguments: Namespace, screen: Screen) -> None:
    """Do the command, until interrupted; raises XenopsError if there is no such VM, or no more."""
    shown, token = None, client.updates.last_id()
    frame = _frame(client, arguments.vm)
    try:
        with screen.live() as draw:
            while True:
                if frame != shown:
                    draw(frame)
                    shown = frame
                time.sleep(PAUSE_S)
                frame, token = _next(client, arguments.vm, token)
    except KeyboardInterrupt:
        return


def _next(client: Client, vm: str | None, token: int) -> tuple[Shown, int]:
    """What there is once something has changed; while services are out of reach, that."""
    try:
        _, _, seen = client.updates.get(token, GET_TIMEOUT_S)
        return _frame(client, vm), seen
    except BusError as error:
        time.sleep(AGAIN_S)
        return Shown(Dict([("trouble", str(error))]), (Table(("",), ((str(error),),)),)), token


def _frame(client: Client, vm: str | None) -> Shown:
    things = views.of_vms(client.vm.list()) if vm is None else views.of_vm(*views.looked_at(client, vm))
    pending = tuple(task for task in client.task.list() if isinstance(task.state, Pending))
    tasks = views.of_tasks(pending, doings(client, pending))
    value = Dict([("vm" if vm else "vms", things.value), ("tasks", tasks.value)])
    return Shown(value, (*things.tables, Table(("",), (("",),)), *tasks.tables))
