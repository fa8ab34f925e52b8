"""Actions: what each command asks of the service."""

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from schema.fault import XenopsError, internal_error
from schema.objects.errors import DoesNotExist
from schema.objects.metadata import Metadata
from schema.own_methods import ALL_METHODS
from schema.wire import json
from schema.wire.codec import decode_text
from schema.wire.errors import JsonError, MarshalError
from schema.wire.value import Dict

from xenops.client import Client
from xenops.command import views
from xenops.command.console import attach, text_console
from xenops.command.devices import ACTIONS as DEVICE_ACTIONS
from xenops.command.lanes import ACTIONS as LANE_ACTIONS
from xenops.command.lanes import doings
from xenops.command.operate import operate
from xenops.command.raw import CallError, call, usage_of
from xenops.command.screen import Screen, Shown, Table
from xenops.command.watch import show_watch
from xenops.events import GET_TIMEOUT_S
from xenops.vmfile import VmFileError, read_text, read_vm_file, write_text


def run(client: Client, arguments: Namespace, screen: Screen) -> None:
    """Do one command; a VM may be called by its name, too."""
    act = _ACTIONS.get(arguments.command, operate)
    try:
        act(client, arguments, screen)
    except XenopsError as error:
        vm = _named(client, arguments) if isinstance(error.error, DoesNotExist) else None
        if vm is None:
            raise
        arguments.vm = vm
        act(client, arguments, screen)


def _named(client: Client, arguments: Namespace) -> str | None:
    """The id of the only VM of the name that was given for an id."""
    given = getattr(arguments, "vm", None)
    if given is None or client.vm.exists(given):
        return None
    ids = [vm.id for vm, _ in client.vm.list() if vm.name == given]
    return ids[0] if len(ids) == 1 else None


def _add(client: Client, arguments: Namespace, screen: Screen) -> None:
    _add_file(client, arguments.file, screen)


def _add_file(client: Client, file: Path, screen: Screen) -> str:
    """Make the VM of a file known; answers its id."""
    metadata = read_vm_file(file)
    vm = client.vm.add(metadata.vm)
    added = [("VM", vm)]
    added += [("VBD", client.vbd.add(vbd).device) for vbd in metadata.vbds]
    added += [("VIF", client.vif.add(vif).device) for vif in metadata.vifs]
    added += [("PCI", client.pci.add(pci).device) for pci in metadata.pcis]
    added += [("VGPU", client.vgpu.add(vgpu).device) for vgpu in metadata.vgpus]
    added += [("VUSB", client.vusb.add(vusb).device) for vusb in metadata.vusbs]
    devices = [Dict([("class", kind), ("device", name)]) for kind, name in added[1:]]
    screen.show(Shown(Dict([("vm", vm), ("devices", devices)]), (Table(("ADDED", "ID"), tuple(added)),)))
    return vm


def _create(client: Client, arguments: Namespace, screen: Screen) -> None:
    vm = _add_file(client, arguments.file, screen)
    operate(client, Namespace(command="start", vm=vm, run=True, no_wait=False, wait=None), screen)


def _export(client: Client, arguments: Namespace, screen: Screen) -> None:
    text = client.vm.export_metadata(arguments.vm)
    if arguments.file is None:
        screen.show(Shown(json.loads(text), (Table(("",), ((text,),)),)))
        return
    write_text(arguments.file, text)
    screen.say(f"{arguments.vm} is written to {arguments.file}")
    screen.show(Shown(Dict([("vm", arguments.vm), ("file", str(arguments.file))])))


def _import(client: Client, arguments: Namespace, screen: Screen) -> None:
    text = read_text(arguments.file)
    try:
        vm = client.vm.import_metadata(text)
    except XenopsError as error:
        _refuse_others(arguments.file, text, error)
        raise
    screen.show(Shown(Dict([("vm", vm)]), (Table(("",), ((vm,),)),)))


def _refuse_others(file: Path, text: str, error: XenopsError) -> None:
    """Raises VmFileError if it failed because the file is another one than export writes."""
    try:
        decode_text(Metadata, text)
    except (JsonError, MarshalError):
        words = f"{file} is not what `xenops export` writes: a VM file of yours is for `xenops add`"
        raise VmFileError(words) from error


def _console(client: Client, arguments: Namespace, screen: Screen) -> None:
    _, state = client.vm.stat(arguments.vm)
    path = text_console(arguments.vm, state.consoles)
    screen.say(f"attached to {path}; Ctrl and ] leaves it")
    attach(path, sys.stdin.fileno(), sys.stdout.fileno())


def _query(client: Client, _arguments: Namespace, screen: Screen) -> None:
    screen.show(views.of_service(client.query(), client.host.stat(), client.host.get_total_memory_mib()))


def _set_worker_pool_size(client: Client, arguments: Namespace, screen: Screen) -> None:
    client.host.set_worker_pool_size(arguments.size)
    screen.say(f"a worker operates on up to {arguments.size} VMs at a time")
    screen.show(Shown(Dict([("size", arguments.size)])))


def _call(client: Client, arguments: Namespace, screen: Screen) -> None:
    if arguments.list:
        rows = tuple((usage_of(name),) for name in ALL_METHODS)
        screen.show(Shown([name for (name,) in rows], (Table(("METHOD",), rows),)))
        return
    if arguments.method is None:
        raise CallError("which method? `xenops call --list` shows them all")
    result = call(client, arguments.method, arguments.parameters)
    screen.show(Shown(result, (Table(("",), ((json.dumps(result),),)),)))


def _remove(client: Client, arguments: Namespace, screen: Screen) -> None:
    client.vm.remove(arguments.vm)
    screen.say(f"{arguments.vm} is forgotten")
    screen.show(Shown(Dict([("vm", arguments.vm)])))


def _list(client: Client, _arguments: Namespace, screen: Screen) -> None:
    screen.show(views.of_vms(client.vm.list()))


def _stat(client: Client, arguments: Namespace, screen: Screen) -> None:
    screen.show(views.of_vm(*views.looked_at(client, arguments.vm)))


def _tasks(client: Client, _arguments: Namespace, screen: Screen) -> None:
    tasks = client.task.list()
    screen.show(views.of_tasks(tasks, doings(client, tasks) if screen.is_for_people else {}))


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


def _quarantine(client: Client, arguments: Namespace, screen: Screen) -> None:
    kept = client.quarantine.list()
    if arguments.offset is None:
        screen.show(views.of_quarantine(kept))
        screen.say(f"messages in quarantine: {kept.total}, shown: {len(kept.records)}")
        return
    found = [record for record in kept.records if record.offset == arguments.offset]
    if not found:
        raise internal_error(
            f"offset {arguments.offset} is not among the {len(kept.records)} newest messages in quarantine"
        )
    for record in found:
        screen.show(views.of_quarantined(record))


def _diagnostics(client: Client, _arguments: Namespace, screen: Screen) -> None:
    screen.show(views.of_diagnostics(json.loads(client.get_diagnostics())))


Action = Callable[[Client, Namespace, Screen], None]

_ACTIONS: dict[str, Action] = {
    "add": _add,
    "create": _create,
    "export": _export,
    "import": _import,
    "remove": _remove,
    "list": _list,
    "stat": _stat,
    "watch": show_watch,
    "console": _console,
    "tasks": _tasks,
    "cancel": _cancel,
    "events": _events,
    "quarantine": _quarantine,
    "diagnostics": _diagnostics,
    "query": _query,
    "set-worker-pool-size": _set_worker_pool_size,
    "call": _call,
    **DEVICE_ACTIONS,
    **LANE_ACTIONS,
}
"""All commands but the operations."""
