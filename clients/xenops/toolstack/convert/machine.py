"""VMs: XenAPI's virtual machines as xenops has them, without their devices.

Facts from xapi, xapi_xenops.ml (MD.of_vm, rtc_timeoffset_of_vm).
"""

from collections.abc import Iterable, Mapping

from schema.objects.vm import Bios, SchedulerParams, Vm, VmAction

from xenops.toolstack.convert.builder import builder_of, firmware_of
from xenops.toolstack.convert.platform import is_true, platform_data
from xenops.toolstack.convert.source import Source
from xenops.toolstack.failure import XenApiFailure
from xenops.toolstack.records import PowerState, VbdRecord, VdiRecord, VmRecord
from xenops.toolstack.records.vm import Action

WEIGHT, CAP = 256, 0
"""The share of the CPUs that a VM has that says nothing, and its limit: none."""

_TIMEOFFSET = "timeoffset"
_RESET_TWICE = "VM_ATTACHED_TO_MORE_THAN_ONE_VDI_WITH_TIMEOFFSET_MARKED_AS_RESET_ON_BOOT"


def vm_of(source: Source, ref: str, *, has_pcis: bool, has_vgpus: bool) -> Vm:
    """A VM as xenops has it.

    Raises:
        XenApiFailure: it makes no sense, in XenAPI's own words.
        RecordError: a record makes no sense.
    """
    vm = source.get(VmRecord, ref)
    timeoffset = _timeoffset(source, ref, vm)
    return Vm(
        id=vm.uuid,
        name=vm.name_label,
        ssidref=0,
        xsdata=tuple(vm.xenstore_data.items()),
        platformdata=_platformdata(source, vm, timeoffset),
        bios_strings=tuple(vm.bios_strings.items()),
        ty=builder_of(source, vm, timeoffset, has_pcis=has_pcis, has_vgpus=has_vgpus),
        suppress_spurious_page_faults=False,
        memory_static_max=vm.memory_static_max,
        memory_dynamic_max=vm.memory_dynamic_max,
        memory_dynamic_min=vm.memory_dynamic_min,
        vcpu_max=vm.vcpus_max,
        vcpus=vm.vcpus_at_startup,
        scheduler_params=_scheduler(vm.vcpus_params, source.site.cpu_mask),
        on_crash=_actions(vm.actions_after_crash),
        on_shutdown=_actions(vm.actions_after_shutdown),
        on_reboot=_actions(vm.actions_after_reboot),
        on_softreboot=_actions(vm.actions_after_softreboot),
        pci_msitranslate=not vm.vgpus and vm.other_config.get("msitranslate", "1") == "1",
        pci_power_mgmt=False,
        has_vendor_device=vm.has_vendor_device,
        generation_id=vm.generation_id,
    )


def _actions(action: Action) -> tuple[VmAction, ...]:
    match action:
        case "preserve":
            return (VmAction.PAUSE,)
        case "coredump_and_restart":
            return VmAction.COREDUMP, VmAction.START
        case "coredump_and_destroy":
            return VmAction.COREDUMP, VmAction.SHUTDOWN
        case "restart" | "rename_restart":
            return (VmAction.START,)
        case "destroy":
            return (VmAction.SHUTDOWN,)
        case "soft_reboot":
            return (VmAction.SOFTREBOOT,)


def _platformdata(source: Source, vm: VmRecord, timeoffset: str) -> tuple[tuple[str, str], ...]:
    """What the builder is told, in xapi's order: what it adds comes first."""
    firmware = firmware_of(vm)
    if isinstance(firmware, Bios) and vm.vtpms:
        raise XenApiFailure("NOT_IMPLEMENTED", "Booting BIOS VM with VTPMs attached")
    data = platform_data(
        vm.platform, vm.domain_type, firmware, vm.vcpus_max, filters=source.site.filters_platform
    )
    data.pop(_TIMEOFFSET, None)
    data = {_TIMEOFFSET: timeoffset, **data}
    featureset = _featureset(source, vm)
    if "featureset" not in data and featureset:
        data = {"featureset": featureset, **data}
    if vm.vtpms or is_true(vm.platform, "vtpm", default=False):
        data = {"tpm_version": "2", **data}
    return tuple(data.items())


def _featureset(source: Source, vm: VmRecord) -> str:
    """A suspended VM goes on with the CPU it had."""
    if vm.power_state is PowerState.SUSPENDED:
        return vm.last_boot_cpu_flags.get("features", "")
    return source.site.featureset


def _timeoffset(source: Source, ref: str, vm: VmRecord) -> str:
    """The guest's clock against UTC: its own, or that of a system disk that is reset at each boot."""
    resets = [offset for vdi, offset in _resets(source, vm)]
    if len(resets) > 1:
        raise XenApiFailure(_RESET_TWICE, ref, *(vdi for vdi, _ in _resets(source, vm)))
    return resets[0] if resets else vm.platform.get(_TIMEOFFSET, "0")


def _resets(source: Source, vm: VmRecord) -> Iterable[tuple[str, str]]:
    for vbd in (source.get(VbdRecord, ref) for ref in vm.vbds):
        vdi = None if vbd.empty or not vbd.currently_attached else source.known(VdiRecord, vbd.vdi)
        if vdi and vdi.on_boot == "reset" and _TIMEOFFSET in vdi.other_config:
            yield vbd.vdi, vdi.other_config[_TIMEOFFSET]


def _scheduler(params: Mapping[str, str], host_mask: tuple[int, ...]) -> SchedulerParams:
    """`mask` is `1,2,3`, for all vCPUs, or `1,2;3,4`, for each; the host's own mask limits it."""
    affinity = _masks(params.get("mask", ""))
    if not affinity and host_mask:
        affinity = (host_mask,)
    elif host_mask:
        affinity = tuple(tuple(cpu for cpu in mask if cpu in host_mask) for mask in affinity)
    priority = _int(params.get("weight", ""), WEIGHT), _int(params.get("cap", ""), CAP)
    return SchedulerParams(priority=priority, affinity=affinity)


def _masks(text: str) -> tuple[tuple[int, ...], ...]:
    try:
        return tuple(tuple(int(cpu) for cpu in mask.split(",")) for mask in text.split(";"))
    except ValueError:
        return ()


def _int(text: str, otherwise: int) -> int:
    try:
        return int(text)
    except ValueError:
        return otherwise
