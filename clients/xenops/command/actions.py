"""Actions: what each command asks of the service."""

from argparse import Namespace
from collections.abc import Callable

from schema.wire import json
from schema.wire.value import Dict

from xenops.client import Client
from xenops.command import views
from xenops.command.screen import Screen, Shown, Table
from xenops.command.vmfile import read_vm_file
from xenops.events import GET_TIMEOUT_S, wait_for_task


class InterruptedWaitError(Exception):
    """The user does not want to wait for a task any longer."""

    def __init__(self, task: str) -> None:
        super().__init__(
            f"task {task} goes on: `xenops tasks` shows how far it is, `xenops cancel {task}` stops it"
        )


def run(client: Client, arguments: Namespace, screen: Screen) -> None:
    """Do one command."""
    _ACTIONS[arguments.command](client, arguments, screen)


def _operate(client: Client, arguments: Namespace, screen: Screen) -> None:
    vm, command = arguments.vm, arguments.command
    task = _submit(client, arguments)
    if arguments.no_wait:
        screen.show(Shown(Dict([("task", task)]), (Table(("",), ((task,),)),)))
        return
    try:
        with screen.progress(f"{command} {vm} (task {task})") as on_progress:
            done = wait_for_task(client, task, arguments.wait, on_progress)
    except KeyboardInterrupt as interrupt:
        raise InterruptedWaitError(task) from interrupt
    screen.say(f"{command} of {vm} is done, in {done.duration:.3f} s{_HINTS.get(command, '').format(vm=vm)}")
    screen.show(Shown(Dict([("task", task), ("duration", done.duration)])))


_HINTS = {"start": "; it is paused: `xenops unpause {vm}` lets it run"}


def _submit(client: Client, arguments: Namespace) -> str:
    match arguments.command:
        case "start":
            return client.vm.start(arguments.vm)
        case "shutdown":
            return client.vm.shutdown(arguments.vm, arguments.timeout)
        case "reboot":
            return client.vm.reboot(arguments.vm, arguments.timeout)
        case "pause":
            return client.vm.pause(arguments.vm)
        case _:
            return client.vm.unpause(arguments.vm)


def _add(client: Client, arguments: Namespace, screen: Screen) -> None:
    metadata = read_vm_file(arguments.file)
    vm = client.vm.add(metadata.vm)
    added = [("VM", vm)]
    added += [("VBD", client.vbd.add(vbd).device) for vbd in metadata.vbds]
    added += [("VIF", client.vif.add(vif).device) for vif in metadata.vifs]
    added += [("PCI", client.pci.add(pci).device) for pci in metadata.pcis]
    added += [("VGPU", client.vgpu.add(vgpu).device) for vgpu in metadata.vgpus]
    added += [("VUSB", client.vusb.add(vusb).device) for vusb in metadata.vusbs]
    devices = [Dict([("class", kind), ("device", name)]) for kind, name in added[1:]]
    screen.show(Shown(Dict([("vm", vm), ("devices", devices)]), (Table(("ADDED", "ID"), tuple(added)),)))


def _remove(client: Client, arguments: Namespace, screen: Screen) -> None:
    client.vm.remove(arguments.vm)
    screen.say(f"{arguments.vm} is forgotten")
    screen.show(Shown(Dict([("vm", arguments.vm)])))


def _list(client: Client, _arguments: Namespace, screen: Screen) -> None:
    screen.show(views.of_vms(client.vm.list()))


def _stat(client: Client, arguments: Namespace, screen: Screen) -> None:
    vm, state = client.vm.stat(arguments.vm)
    devices = views.Devices(client.vbd.list(vm.id), client.vif.list(vm.id), client.pci.list(vm.id))
    screen.show(views.of_vm(vm, state, devices))


def _tasks(client: Client, _arguments: Namespace, screen: Screen) -> None:
    screen.show(views.of_tasks(client.task.list()))


def _cancel(client: Client, arguments: Namespace, screen: Screen) -> None:
    client.task.cancel(arguments.task)
    screen.say(f"task {arguments.task} is asked to stop; it may still succeed")
    screen.show(Shown(Dict([("task", arguments.task)])))


def _events(client: Client, arguments: Namespace, screen: Screen) -> None:
    token, timeout_s = arguments.token, 0
    while True:
        updates = client.updates.get(token, timeout_s)
        barriers, objects, token = updates
        if objects or barriers or not arguments.follow:
            screen.show(views.of_updates(updates))
        if not arguments.follow:
            screen.say(f"the token of now is {token}: `xenops events --token {token}` goes on from here")
            return
        timeout_s = GET_TIMEOUT_S


def _diagnostics(client: Client, _arguments: Namespace, screen: Screen) -> None:
    screen.show(views.of_diagnostics(json.loads(client.get_diagnostics())))


Action = Callable[[Client, Namespace, Screen], None]

_ACTIONS: dict[str, Action] = {
    "start": _operate,
    "shutdown": _operate,
    "reboot": _operate,
    "pause": _operate,
    "unpause": _operate,
    "add": _add,
    "remove": _remove,
    "list": _list,
    "stat": _stat,
    "tasks": _tasks,
    "cancel": _cancel,
    "events": _events,
    "diagnostics": _diagnostics,
}
