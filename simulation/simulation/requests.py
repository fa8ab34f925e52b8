"""Requests: what a client says for each command of a scenario."""

from typing import Any

from engine.conformance.samples import sample_vbd
from schema.objects.disk import LocalDisk
from schema.objects.metadata import Metadata
from schema.objects.vif import Vif
from schema.wire.codec import encode_text
from schema.wire.types import DeviceId

from simulation.host import sample
from simulation.scenario import Command, Operate

AT_ONCE = ("remove", "import", "add", "add_vbd", "remove_vbd", "add_vif", "remove_vif")
"""What answers no task, but what came of it."""

COMPRESSED_FROM_S = 7.5
"""A migration's seconds say whether it is compressed."""

VCPUS = 2
"""How many of a VM's virtual processors are asked for at most."""

Said = tuple[str, dict[str, Any]]
"""A method, and its parameters by name."""


def request_of(step: Operate, other: str) -> Said:
    """What is asked for; `other` is the door of another host."""
    vm, command = step.vm, step.command
    match command:
        case "shutdown_clean" | "reboot_clean":
            return f"VM.{command.partition('_')[0]}", {"id": vm, "delay": 5.0 + step.seconds}
        case "shutdown" | "reboot":
            return f"VM.{command}", {"id": vm, "delay": None}
        case "suspend" | "resume":
            return f"VM.{command}", {"id": vm, "suspend_vdi": LocalDisk(path=f"/suspended/{vm}")}
        case "start":
            return "VM.start", {"id": vm, "paused": False}
        case "delay":
            return "VM.delay", {"id": vm, "delay": step.seconds}
        case "pause" | "unpause" | "remove":
            return f"VM.{command}", {"id": vm}
        case "import":
            return "VM.import_metadata", {"metadata": encode_text(Metadata, sample(vm))}
        case "migrate":
            return "VM.migrate", _migration(vm, other, compress=step.seconds > COMPRESSED_FROM_S)
        case "add":
            return "VM.add", {"vm": sample(vm).vm}
        case "set_vcpus":
            return "VM.set_vcpus", {"id": vm, "vcpus": 1 + round(step.seconds) % VCPUS}
        case "set_memory":
            minimum, maximum = sample(vm).vm.memory_dynamic_min, sample(vm).vm.memory_dynamic_max
            return "VM.set_memory_dynamic_range", {"id": vm, "minimum": minimum, "maximum": maximum}
        case _:
            return _of_device(command, vm)


def _of_device(command: Command, vm: str) -> Said:
    """The first disk and the first interface are plugged and unplugged, others come and go."""
    deed, _, device = command.partition("_")
    first, more = ("xvda", "xvdb") if device == "vbd" else ("0", "1")
    match deed:
        case "plug" | "unplug":
            force = {"force": False} if deed == "unplug" else {}
            return f"{device.upper()}.{deed}", {"id": DeviceId(vm, first), **force}
        case "remove":
            return f"{device.upper()}.remove", {"id": DeviceId(vm, more)}
        case "add" if device == "vbd":
            return "VBD.add", {"vbd": sample_vbd(more, vm)}
        case "add":
            return "VIF.add", {"vif": Vif(id=DeviceId(vm, more), position=1)}
        case _:
            return "VIF.set_carrier", {"id": DeviceId(vm, first), "carrier": False}


def _migration(vm: str, door: str, *, compress: bool) -> dict[str, Any]:
    maps: dict[str, Any] = {"vdi_map": (), "vif_map": (), "pci_map": ()}
    how = {"compress": compress, "verify_dest": False, "localhost_migration": False}
    return {"id": vm, "xenops_url": f"http://{door}/services/xenops", **maps, **how}
