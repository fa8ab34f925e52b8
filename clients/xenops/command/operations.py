"""Operations: the commands that make tasks and wait for them, each with its words, arguments and calls."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bus.ports import BusError
from schema.fault import XenopsError
from schema.objects.disk import Disk, LocalDisk, Vdi
from schema.objects.vm import PowerState
from schema.wire.types import DeviceId

from xenops.calls.vm import Destination
from xenops.client import Client
from xenops.command.amounts import count_of, seconds_of
from xenops.command.parsing import UsageError

Tasks = tuple[str, ...]
"""Tasks of one command, in the order in which the VM does them."""

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Operation:
    """One command; `hint` is said once it is done, with the VM's name, if the VM is then `hinted_when`."""

    sentence: str
    submit: Callable[[Client, Namespace], Tasks]
    arguments: Callable[[ArgumentParser], None] = lambda _: None
    hint: str = ""
    hinted_when: PowerState | None = None

    def hint_on(self, client: Client, vm: str) -> str:
        """What to say of a VM that it was done to; nothing if that is not, or no longer, true of it."""
        try:
            fits = self.hinted_when is None or client.vm.stat(vm)[1].power_state is self.hinted_when
        except (XenopsError, BusError):
            return ""
        return self.hint.format(vm=vm) if fits else ""


def device_of(arguments: Namespace) -> DeviceId:
    """The device that a command names."""
    return DeviceId(arguments.vm, arguments.device)


def add_device(command: ArgumentParser) -> None:
    """A device of the VM, by its name there."""
    command.add_argument("device", metavar="DEVICE", help="its name, as `xenops stat` shows it")


def disk_of(arguments: Namespace) -> Disk:
    """The disk that a command names: a file or device of the host, or one of its storage service."""
    return Vdi(name=arguments.vdi) if arguments.vdi else LocalDisk(path=str(Path(arguments.disk).absolute()))


def add_disk(command: ArgumentParser, *, required: bool = True) -> None:
    """A file or device, or a disk of a storage service."""
    which = command.add_mutually_exclusive_group(required=required)
    which.add_argument("--disk", "--block-device", metavar="PATH", help="a file or device of the VM's host")
    which.add_argument("--vdi", metavar="SR/NAME", help="a disk of a storage service")


def _guest_time(command: ArgumentParser) -> None:
    command.add_argument(
        "--timeout", type=seconds_of, metavar="SECONDS", help="ask the guest, and wait so long for it to end"
    )


def _run(command: ArgumentParser) -> None:
    command.add_argument("--run", action="store_true", help="let its CPUs run afterwards")


def _run_and_disk(command: ArgumentParser) -> None:
    _run(command)
    add_disk(command)


def _force(command: ArgumentParser) -> None:
    add_device(command)
    command.add_argument("--force", action="store_true", help="without asking the guest")


def _medium(command: ArgumentParser) -> None:
    add_device(command)
    add_disk(command)


def _destination(command: ArgumentParser) -> None:
    command.add_argument("url", metavar="URL", help="where the VM goes, as http://host/services/xenops")
    command.add_argument("--compress", action="store_true", help="compress memory on the way")
    command.add_argument(
        "--no-verify", action="store_true", help="do not check the destination's certificate"
    )
    command.add_argument("--localhost", action="store_true", help="it stays on this host")


def _number(name: str, words: str) -> Callable[[ArgumentParser], None]:
    type_ = seconds_of if name == "SECONDS" else count_of

    def add(command: ArgumentParser) -> None:
        command.add_argument(name.lower(), type=type_, metavar=name, help=words)

    return add


def _memory(command: ArgumentParser) -> None:
    _number("MINIMUM", "in MiB")(command)
    _number("MAXIMUM", "in MiB")(command)


def _then_run(client: Client, arguments: Namespace, task: str) -> Tasks:
    return (task, client.vm.unpause(arguments.vm)) if arguments.run else (task,)


def _migrate(client: Client, arguments: Namespace) -> Tasks:
    to = Destination(
        arguments.url,
        compress=arguments.compress,
        verify=not arguments.no_verify,
        localhost=arguments.localhost,
    )
    return (client.vm.migrate(arguments.vm, to),)


def _set_memory(client: Client, arguments: Namespace) -> Tasks:
    if arguments.minimum > arguments.maximum:
        raise UsageError(
            f"a range from {arguments.minimum} to {arguments.maximum} MiB has no amount: "
            "give the smaller one first"
        )
    low, high = arguments.minimum * MIB, arguments.maximum * MIB
    return (client.vm.set_memory_dynamic_range(arguments.vm, low, high),)


_PAUSED = "; it is paused: `xenops unpause {vm}` lets it run"

OPERATIONS: Mapping[str, Operation] = {
    "start": Operation(
        "start a halted VM; it is left paused, unless --run",
        lambda client, given: _then_run(client, given, client.vm.start(given.vm)),
        _run,
        hint=_PAUSED,
        hinted_when=PowerState.PAUSED,
    ),
    "shutdown": Operation(
        "stop a VM: by force, or, with --timeout, by asking the guest first",
        lambda client, given: (client.vm.shutdown(given.vm, given.timeout),),
        _guest_time,
    ),
    "reboot": Operation(
        "stop a VM as shutdown does, and start it again",
        lambda client, given: (client.vm.reboot(given.vm, given.timeout),),
        _guest_time,
    ),
    "suspend": Operation(
        "save a VM to a disk and stop it",
        lambda client, given: (client.vm.suspend(given.vm, disk_of(given)),),
        add_disk,
        hint="; `xenops resume {vm}` goes on from that disk",
    ),
    "resume": Operation(
        "go on with a suspended VM; it is left paused, unless --run",
        lambda client, given: _then_run(client, given, client.vm.resume(given.vm, disk_of(given))),
        _run_and_disk,
        hint=_PAUSED,
        hinted_when=PowerState.PAUSED,
    ),
    "fast-resume": Operation(
        "go on with a VM after a save, in the same domain",
        lambda client, given: (client.vm.fast_resume(given.vm),),
    ),
    "pause": Operation("stop a VM's CPUs", lambda client, given: (client.vm.pause(given.vm),)),
    "unpause": Operation("let a VM's CPUs run", lambda client, given: (client.vm.unpause(given.vm),)),
    "migrate": Operation("send a running VM to another host", _migrate, _destination),
    "delay": Operation(
        "do nothing to a VM for a while; what else is asked of it waits",
        lambda client, given: (client.vm.delay(given.vm, given.seconds),),
        _number("SECONDS", "how long"),
    ),
    "set-vcpus": Operation(
        "change the number of CPUs that are online",
        lambda client, given: (client.vm.set_vcpus(given.vm, given.count),),
        _number("COUNT", "from 1 to the VM's maximum"),
    ),
    "set-memory": Operation("change the range that the guest's balloon keeps to", _set_memory, _memory),
    "vbd-plug": Operation(
        "give a disk to its running VM",
        lambda client, given: (client.vbd.plug(device_of(given)),),
        add_device,
    ),
    "vbd-unplug": Operation(
        "take a disk from its VM; the guest may refuse, unless --force",
        lambda client, given: (client.vbd.unplug(device_of(given), force=given.force),),
        _force,
    ),
    "vbd-eject": Operation(
        "take the medium out of a CD drive",
        lambda client, given: (client.vbd.eject(device_of(given)),),
        add_device,
    ),
    "vbd-insert": Operation(
        "put a medium into an empty CD drive",
        lambda client, given: (client.vbd.insert(device_of(given), disk_of(given)),),
        _medium,
    ),
    "vif-plug": Operation(
        "give an interface to its running VM",
        lambda client, given: (client.vif.plug(device_of(given)),),
        add_device,
    ),
    "vif-unplug": Operation(
        "take an interface from its VM",
        lambda client, given: (client.vif.unplug(device_of(given), force=given.force),),
        _force,
    ),
}
"""Commands on a VM that make tasks and wait for them."""
