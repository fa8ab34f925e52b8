"""Routes: where each of the 105 methods goes: queued as an operation, to a worker, or to the event hub."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schema.again import is_look
from schema.atomics.pci import VusbPlug, VusbUnplug
from schema.atomics.vbd import VbdEject, VbdInsert
from schema.atomics.vif import (
    VifMove,
    VifSetCarrier,
    VifSetIpv4Configuration,
    VifSetIpv6Configuration,
    VifSetLockingMode,
    VifSetPvsProxy,
    VifSetTrunks,
)
from schema.atomics.vm import (
    VmBuild,
    VmCreate,
    VmCreateDeviceModel,
    VmDelay,
    VmDestroy,
    VmFastResume,
    VmImportMetadata,
    VmPause,
    VmRemove,
    VmRequestRdp,
    VmRunScript,
    VmS3resume,
    VmS3suspend,
    VmSetMemoryDynamicRange,
    VmSetShadowMultiplier,
    VmSetVcpus,
    VmSetXsdata,
    VmUnpause,
)
from schema.fault import internal_error
from schema.ids import VmId, is_safe_name
from schema.objects.metadata import parse_metadata
from schema.operations import (
    AtomicOperation,
    Operation,
    VbdHotplug,
    VbdHotunplug,
    VifHotplug,
    VifHotunplug,
    VmMigrate,
    VmPoweroff,
    VmReboot,
    VmResume,
    VmStart,
    VmSuspend,
)
from schema.rpc import BadRequestError, decode_request

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Queued:
    """Becomes a task of one VM. `awaited`: the client is answered at its end, with this instead of the task.

    So are requests that must not be done between or beside a VM's tasks, though they answer no task.
    """

    make: Callable[[Params], tuple[VmId, Operation]]
    awaited: Callable[[VmId], Any] | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """A read or a change of metadata: a worker answers."""


@dataclass(frozen=True, slots=True)
class Events:
    """About tasks and updates: the event hub answers."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """About lanes and workers: the leading redirector answers."""


Route = Queued | Control | Events | Lanes

_LANES = ("LANE.", "WORKER.")
_EVENTS = ("Task.", "UPDATES.", "get_diagnostics", "QUARANTINE.", "EVENTS.")


def route(method: str) -> Route:
    """Where a method goes."""
    if method in _AWAITED:
        return _AWAITED[method]
    make = _OPERATIONS.get(method)
    if make is not None:
        return Queued(make)
    if method.startswith(_LANES):
        return Lanes()
    return Events() if method.startswith(_EVENTS) else Control()


def is_harmless(body: bytes) -> bool:
    """Whether a request changes nothing, so that it may be asked once more."""
    try:
        return is_look(decode_request(body).method)
    except BadRequestError:
        return True  # it is refused again


def _of_vm(make: Callable[[VmId, Params], Operation]) -> Callable[[Params], tuple[VmId, Operation]]:
    return lambda params: (VmId(params["id"]), make(VmId(params["id"]), params))


def _of_device(make: Callable[[Any, Params], Operation]) -> Callable[[Params], tuple[VmId, Operation]]:
    return lambda params: (VmId(params["id"].vm), make(params["id"], params))


def _atomic(step: Any) -> Operation:
    return AtomicOperation(atomic=step)


def _import_metadata(params: Params) -> tuple[VmId, Operation]:
    metadata = parse_metadata(params["metadata"])
    vm = VmId(metadata.vm.id)
    return vm, _atomic(VmImportMetadata(vm=vm, metadata=metadata))


def _import_metadata_at_once(params: Params) -> tuple[VmId, Operation]:
    """As a VM is added: the rule is told to whom breaks it."""
    vm, operation = _import_metadata(params)
    if not is_safe_name(vm):
        raise internal_error(f"{vm!r} cannot name a VM: use up to 64 letters, digits, '.', '_' and '-'")
    return vm, operation


def _migrate(vm: VmId, params: Params) -> Operation:
    return VmMigrate(
        vm=vm,
        vdi_map=params["vdi_map"],
        vif_map=params["vif_map"],
        pci_map=params["pci_map"],
        url=params["xenops_url"],
        compress=params["compress"],
        verify_dest=params["verify_dest"],
        localhost_migration=params["localhost_migration"],
    )


_OPERATIONS: Mapping[str, Callable[[Params], tuple[VmId, Operation]]] = {
    # the original hands `paused` on as the force flag; a start always leaves the VM paused
    "VM.start": _of_vm(lambda vm, p: VmStart(vm=vm, force=p["paused"])),
    "VM.shutdown": _of_vm(lambda vm, p: VmPoweroff(vm=vm, timeout_s=p["delay"])),
    "VM.reboot": _of_vm(lambda vm, p: VmReboot(vm=vm, timeout_s=p["delay"])),
    "VM.suspend": _of_vm(lambda vm, p: VmSuspend(vm=vm, image=p["suspend_vdi"])),
    "VM.resume": _of_vm(lambda vm, p: VmResume(vm=vm, image=p["suspend_vdi"])),
    "VM.migrate": _of_vm(_migrate),
    "VM.create": _of_vm(lambda vm, _: _atomic(VmCreate(vm=vm))),
    "VM.build": _of_vm(lambda vm, p: _atomic(VmBuild(vm=vm, force=p["force"]))),
    "VM.create_device_model": _of_vm(
        lambda vm, p: _atomic(VmCreateDeviceModel(vm=vm, save_state=p["save_state"]))
    ),
    "VM.destroy": _of_vm(lambda vm, _: _atomic(VmDestroy(vm=vm))),
    "VM.pause": _of_vm(lambda vm, _: _atomic(VmPause(vm=vm))),
    "VM.unpause": _of_vm(lambda vm, _: _atomic(VmUnpause(vm=vm))),
    "VM.request_rdp": _of_vm(lambda vm, p: _atomic(VmRequestRdp(vm=vm, enabled=p["enabled"]))),
    "VM.run_script": _of_vm(lambda vm, p: _atomic(VmRunScript(vm=vm, script=p["script"]))),
    "VM.set_xsdata": _of_vm(lambda vm, p: _atomic(VmSetXsdata(vm=vm, xsdata=p["xsdata"]))),
    "VM.set_vcpus": _of_vm(lambda vm, p: _atomic(VmSetVcpus(vm=vm, vcpus=p["vcpus"]))),
    "VM.set_shadow_multiplier": _of_vm(
        lambda vm, p: _atomic(VmSetShadowMultiplier(vm=vm, multiplier=p["multiplier"]))
    ),
    "VM.set_memory_dynamic_range": _of_vm(
        lambda vm, p: _atomic(
            VmSetMemoryDynamicRange(vm=vm, minimum_bytes=p["minimum"], maximum_bytes=p["maximum"])
        )
    ),
    "VM.delay": _of_vm(lambda vm, p: _atomic(VmDelay(vm=vm, delay_s=p["delay"]))),
    "VM.fast_resume": _of_vm(lambda vm, _: _atomic(VmFastResume(vm=vm))),
    "VM.s3suspend": _of_vm(lambda vm, _: _atomic(VmS3suspend(vm=vm))),
    "VM.s3resume": _of_vm(lambda vm, _: _atomic(VmS3resume(vm=vm))),
    "VM.import_metadata_async": _import_metadata,
    "VBD.plug": _of_device(lambda id_, _: VbdHotplug(id=id_)),
    "VBD.unplug": _of_device(lambda id_, p: VbdHotunplug(id=id_, force=p["force"])),
    "VBD.eject": _of_device(lambda id_, _: _atomic(VbdEject(id=id_))),
    "VBD.insert": _of_device(lambda id_, p: _atomic(VbdInsert(id=id_, disk=p["disk"]))),
    "VIF.plug": _of_device(lambda id_, _: VifHotplug(id=id_)),
    "VIF.unplug": _of_device(lambda id_, p: VifHotunplug(id=id_, force=p["force"])),
    "VIF.move": _of_device(lambda id_, p: _atomic(VifMove(id=id_, network=p["network"]))),
    "VIF.set_carrier": _of_device(lambda id_, p: _atomic(VifSetCarrier(id=id_, carrier=p["carrier"]))),
    "VIF.set_locking_mode": _of_device(
        lambda id_, p: _atomic(VifSetLockingMode(id=id_, locking_mode=p["locking_mode"]))
    ),
    "VIF.set_ipv4_configuration": _of_device(
        lambda id_, p: _atomic(VifSetIpv4Configuration(id=id_, configuration=p["ipv4_configuration"]))
    ),
    "VIF.set_ipv6_configuration": _of_device(
        lambda id_, p: _atomic(VifSetIpv6Configuration(id=id_, configuration=p["ipv6_configuration"]))
    ),
    "VIF.set_pvs_proxy": _of_device(lambda id_, p: _atomic(VifSetPvsProxy(id=id_, proxy=p["proxy"]))),
    "VIF.set_trunks": _of_device(lambda id_, p: _atomic(VifSetTrunks(id=id_, trunks=p["trunks"]))),
    "VUSB.plug": _of_device(lambda id_, _: _atomic(VusbPlug(id=id_))),
    "VUSB.unplug": _of_device(lambda id_, _: _atomic(VusbUnplug(id=id_))),
}

_AWAITED: Mapping[str, Queued] = {
    "VM.remove": Queued(_of_vm(lambda vm, _: _atomic(VmRemove(vm=vm))), awaited=lambda _: None),
    "VM.import_metadata": Queued(_import_metadata_at_once, awaited=str),
}
