"""Views: objects of the interface as tables for people, and as wire values for programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from schema.objects.disk import LocalDisk, Vdi
from schema.objects.dynamic import ObjectId
from schema.objects.host import Host, Query
from schema.objects.pci import Pci, PciState
from schema.objects.quarantine import Quarantine, QuarantinedRecord
from schema.objects.task import Completed, Failed, Pending, Task
from schema.objects.vbd import Vbd, VbdState
from schema.objects.vif import Vif, VifState
from schema.objects.vm import Vm, VmState
from schema.wire.codec import to_rpc
from schema.wire.value import Dict

from xenops.calls.events import Updates
from xenops.client import Client
from xenops.command.screen import Shown, Table
from xenops.sentences import sentence_of

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Devices:
    """A VM's devices as configured and as they are."""

    vbds: tuple[tuple[Vbd, VbdState], ...]
    vifs: tuple[tuple[Vif, VifState], ...]
    pcis: tuple[tuple[Pci, PciState], ...]


def of_vms(vms: tuple[tuple[Vm, VmState], ...]) -> Shown:
    """One line for each VM."""
    rows = tuple(
        (
            vm.id,
            vm.name,
            state.power_state,
            ",".join(map(str, state.domids)) or "-",
            str(vm.vcpus),
            f"{vm.memory_static_max // MIB} MiB",
        )
        for vm, state in vms
    )
    value = [_pair("vm", to_rpc(Vm, vm), to_rpc(VmState, state)) for vm, state in vms]
    return Shown(value, (Table(("VM", "NAME", "STATE", "DOMAIN", "CPUS", "MEMORY"), rows),))


def _pair(kind: str, thing: Any, state: Any) -> Dict:
    return Dict([(kind, thing), ("state", state)])


def looked_at(client: Client, vm: str) -> tuple[Vm, VmState, Devices]:
    """A VM and its devices, as `of_vm` shows them; raises XenopsError if there is none."""
    found, state = client.vm.stat(vm)
    return found, state, Devices(client.vbd.list(vm), client.vif.list(vm), client.pci.list(vm))


def of_vm(vm: Vm, state: VmState, devices: Devices) -> Shown:
    """One VM, and a line for each of its devices."""
    value = Dict(
        [
            *_pair("vm", to_rpc(Vm, vm), to_rpc(VmState, state)).pairs,
            ("vbds", [_pair("vbd", to_rpc(Vbd, one), to_rpc(VbdState, now)) for one, now in devices.vbds]),
            ("vifs", [_pair("vif", to_rpc(Vif, one), to_rpc(VifState, now)) for one, now in devices.vifs]),
            ("pcis", [_pair("pci", to_rpc(Pci, one), to_rpc(PciState, now)) for one, now in devices.pcis]),
        ]
    )
    rows = _device_rows(devices)
    listing = (Table(("DEVICE", "ID", "STATE", "WHAT"), rows),) if rows else ()
    return Shown(value, (Table(("", ""), _facts(vm, state)), *listing))


def _facts(vm: Vm, state: VmState) -> tuple[tuple[str, str], ...]:
    consoles = (f"{console.protocol.lower()} {console.path or console.port}" for console in state.consoles)
    return (
        ("VM", vm.id),
        ("name", vm.name),
        ("state", state.power_state),
        ("domain", ", ".join(map(str, state.domids)) or "-"),
        ("started", _time(state.last_start_time) if state.last_start_time > 0 else "-"),
        ("memory target", f"{state.memory_target // MIB} MiB of {vm.memory_static_max // MIB} MiB"),
        ("CPU target", f"{state.vcpu_target} of {vm.vcpu_max}"),
        ("consoles", ", ".join(consoles) or "-"),
    )


def _device_rows(devices: Devices) -> tuple[tuple[str, str, str, str], ...]:
    return (
        *(("VBD", vbd.id.device, _plugged(now), f"{_disk(vbd)} ({vbd.mode})") for vbd, now in devices.vbds),
        *(("VIF", vif.id.device, _plugged(now), vif.mac) for vif, now in devices.vifs),
        *(("PCI", pci.id.device, _plugged(now), _address(pci)) for pci, now in devices.pcis),
    )


def _plugged(state: VbdState | VifState | PciState) -> str:
    return "plugged" if state.plugged else "unplugged"


def _disk(vbd: Vbd) -> str:
    match vbd.backend:
        case LocalDisk(path=path):
            return path
        case Vdi(name=name):
            return name
        case None:
            return "empty"


def _address(pci: Pci) -> str:
    at = pci.address
    return f"{at.domain:04x}:{at.bus:02x}:{at.dev:02x}.{at.fn:x}"


def of_tasks(tasks: tuple[Task, ...], doings: Mapping[str, tuple[str, str]]) -> Shown:
    """One line for each task, oldest first, with its VM and operation where those are known."""
    by_age = sorted(tasks, key=lambda task: (task.ctime, task.id))
    rows = tuple(
        (task.id, *doings.get(task.id, ("-", "-")), _time(task.ctime), task.dbg, _state(task))
        for task in by_age
    )
    value = [to_rpc(Task, task) for task in by_age]
    return Shown(value, (Table(("TASK", "VM", "OPERATION", "SINCE", "CLIENT", "STATE"), rows),))


def _state(task: Task) -> str:
    match task.state:
        case Pending(progress=progress):
            return f"{progress:.0%}" + ("" if task.cancellable else ", no longer to be cancelled")
        case Completed(completion=completion):
            return f"done, in {completion.duration:.3f} s"
        case Failed(error=error):
            return f"failed: {sentence_of(error)}"


def of_updates(updates: Updates) -> Shown:
    """One line for each barrier and each object that has changed."""
    barriers, objects, token = updates
    rows = [("Barrier", str(barrier)) for barrier, _ in barriers]
    rows += [(changed.kind, _name(changed)) for changed in objects]
    value = Dict(
        [
            ("barriers", [[barrier, [to_rpc(ObjectId, one) for one in seen]] for barrier, seen in barriers]),
            ("objects", [to_rpc(ObjectId, changed) for changed in objects]),
            ("token", token),
        ]
    )
    return Shown(value, (Table(("", ""), tuple(rows)),) if rows else ())


def _name(changed: ObjectId) -> str:
    return changed.id if isinstance(changed.id, str) else "/".join(changed.id)


def of_service(who: Query, host: Host, memory_mib: int) -> Shown:
    """Who serves the instance, and on what."""
    cpu = host.cpu_info
    sockets = "1 socket" if cpu.socket_count == 1 else f"{cpu.socket_count} sockets"
    rows = (
        ("instance", who.instance_id),
        ("service", f"{who.name} {who.version} of {who.vendor}"),
        ("features", ", ".join(who.features) or "-"),
        ("hypervisor", f"{host.hypervisor.version} ({host.hypervisor.capabilities})"),
        ("CPUs", f"{cpu.cpu_count} in {sockets}, {cpu.modelname or cpu.vendor}"),
        ("memory", f"{memory_mib} MiB"),
    )
    value = Dict([("query", to_rpc(Query, who)), ("host", to_rpc(Host, host)), ("memory_mib", memory_mib)])
    return Shown(value, (Table(("", ""), rows),))


def of_diagnostics(report: Dict) -> Shown:
    """What waits in lanes, what workers do, which tasks there are."""
    lanes = tuple((queue.get("tag"), ", ".join(queue.get("works"))) for queue in report.get("queues"))
    workers = report.get("workers")
    busy = tuple((worker.get("state"),) for worker in workers if worker.get("state") != "Idle")
    tasks = tuple((task.get("id"), task.get("ctime"), task.get("dbg")) for task in report.get("tasks"))
    tables = (
        Table(("LANE", "WAITING"), lanes),
        Table(("WORKERS",), (*busy, (f"{len(workers) - len(busy)} idle",))),
        Table(("TASK", "SINCE", "CLIENT"), tasks),
    )
    return Shown(report, tables)


def of_quarantine(kept: Quarantine) -> Shown:
    """One line for each message, the newest first."""
    rows = tuple(
        (
            str(one.offset),
            _time(one.at) if one.at else "-",
            one.user or "-",
            one.producer or "-",
            _done(one),
            one.reason,
        )
        for one in kept.records
    )
    heads = ("OFFSET", "WRITTEN", "USER", "PRODUCER", "DONE", "REASON")
    return Shown(to_rpc(Quarantine, kept), (Table(heads, rows),))


def of_quarantined(one: QuarantinedRecord) -> Shown:
    """All that is known of one message."""
    rows = (
        ("log", one.log),
        ("offset", str(one.offset)),
        ("reason", one.reason),
        ("routing key", one.routing_key),
        ("broker's user", one.user or "-"),
        ("producer", f"{one.producer}, its number {one.seq}" if one.producer else "-"),
        ("written", _time(one.at) if one.at else "-"),
        ("bytes", str(one.size)),
        ("begins", one.shown),
        ("done", _done(one)),
    )
    return Shown(to_rpc(QuarantinedRecord, one), (Table(("", ""), rows),))


def _done(one: QuarantinedRecord) -> str:
    return f"{one.done} by {one.by}" if one.done else "-"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
