"""Devices: the commands by which a VM comes to have disks, interfaces and PCI devices, and loses them."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping

from schema.wire.types import DeviceId
from schema.wire.value import Dict

from xenops.client import Client
from xenops.command.amounts import count_of
from xenops.command.operate import operate
from xenops.command.operations import add_device, add_disk, device_of
from xenops.command.parsing import VM_HELP
from xenops.command.screen import Screen, Shown
from xenops.vmfile import parse_pci, parse_vbd, parse_vif

Command = Callable[[str, str], ArgumentParser]
"""Makes the parser of a command from its name and what it does."""


def add_commands(command: Command) -> None:
    """What they are called, and what must be said."""
    _adding(
        command("vbd-add", "let a VM have a disk or CD drive from its next start on, or at once by --plug"),
        "its name in the VM, as xvdb, sdb or hdc",
        _disk_options,
    )
    _adding(
        command("vif-add", "let a VM have an interface from its next start on, or at once by --plug"),
        "its name in the VM, a number: interfaces come in its order",
        _interface_options,
    )
    _adding(
        command("pci-add", "let a VM have a PCI device of its host, from its next start on"),
        "its name in the VM, a number: devices come in its order",
        lambda pci: pci.add_argument("address", metavar="ADDRESS", help="on the host, as 0000:03:00.0"),
    )
    for name, what in (("vbd", "a disk"), ("vif", "an interface"), ("pci", "a PCI device")):
        remove = command(f"{name}-remove", f"forget {what} of a VM")
        remove.add_argument("vm", metavar="VM", help=VM_HELP)
        add_device(remove)


def _adding(command: ArgumentParser, names: str, options: Callable[[ArgumentParser], object]) -> None:
    command.add_argument("vm", metavar="VM", help=VM_HELP)
    command.add_argument("device", metavar="DEVICE", help=names)
    options(command)


def _disk_options(command: ArgumentParser) -> None:
    add_disk(command, required=False)
    command.add_argument(
        "--type", choices=("disk", "cdrom", "floppy"), default="disk", help="what it is; a drive can be empty"
    )
    command.add_argument("--read-only", action="store_true", help="as a CD drive always is")
    _plugging(command)


def _interface_options(command: ArgumentParser) -> None:
    command.add_argument("--mac", required=True, help="its address, as 52:54:00:12:34:56")
    command.add_argument("--bridge", default="xenbr0", help="the network of the VM's host (default xenbr0)")
    command.add_argument("--mtu", type=count_of, default=1500, metavar="BYTES", help="default 1500")
    _plugging(command)


def _plugging(command: ArgumentParser) -> None:
    command.add_argument("--plug", action="store_true", help="the VM runs: give it to the guest, and wait")


def _vbd_add(client: Client, arguments: Namespace, screen: Screen) -> None:
    values = {
        "device": arguments.device,
        "type": arguments.type,
        "disk": arguments.disk,
        "vdi": arguments.vdi,
    }
    if arguments.read_only:
        values["mode"] = "ro"
    _added(client, client.vbd.add(parse_vbd(arguments.vm, values)), arguments, screen)


def _vif_add(client: Client, arguments: Namespace, screen: Screen) -> None:
    values = {name: getattr(arguments, name) for name in ("device", "mac", "bridge", "mtu")}
    _added(client, client.vif.add(parse_vif(arguments.vm, values)), arguments, screen)


def _pci_add(client: Client, arguments: Namespace, screen: Screen) -> None:
    pci = parse_pci(arguments.vm, arguments.device, arguments.address)
    _show(client.pci.add(pci), screen)


def _added(client: Client, device: DeviceId, arguments: Namespace, screen: Screen) -> None:
    """A device of a class that can be plugged is known."""
    if not arguments.plug:
        _show(device, screen)
        return
    plug = arguments.command.replace("-add", "-plug")
    operate(
        client,
        Namespace(command=plug, vm=arguments.vm, device=device.device, no_wait=False, wait=None),
        screen,
    )


def _show(device: DeviceId, screen: Screen) -> None:
    screen.say(f"{device.vm} has the device {device.device} from its next start on")
    screen.show(Shown(Dict([("vm", device.vm), ("device", device.device)])))


def _remove(client: Client, arguments: Namespace, screen: Screen) -> None:
    device = device_of(arguments)
    match arguments.command:
        case "vbd-remove":
            client.vbd.remove(device)
        case "vif-remove":
            client.vif.remove(device)
        case _:
            client.pci.remove(device)
    screen.say(f"{arguments.vm} has the device {arguments.device} no more")
    screen.show(Shown(Dict([("vm", arguments.vm), ("device", arguments.device)])))


ACTIONS: Mapping[str, Callable[[Client, Namespace, Screen], None]] = {
    "vbd-add": _vbd_add,
    "vif-add": _vif_add,
    "pci-add": _pci_add,
    **dict.fromkeys(("vbd-remove", "vif-remove", "pci-remove"), _remove),
}
"""All commands about devices that make no task."""
