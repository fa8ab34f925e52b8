"""VMs: what xenops says of one, as fields of XenAPI's records.

Facts from xapi: xapi_xenops.ml (update_vm_internal), xapi_vm_lifecycle.ml (force_state_reset). As there, a
field is written only when its source has changed since the last look, so that clients may write, too.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from schema.objects.vm import ConsoleProtocol, VmState
from schema.objects.vm import DomainType as XenopsDomainType

from xenops.toolstack.convert.source import Source
from xenops.toolstack.records import (
    NULL,
    ConsoleRecord,
    DomainType,
    PciRecord,
    PowerState,
    VmMetricsRecord,
    VmRecord,
    is_null,
)
from xenops.toolstack.reflect.allowed import allowed_operations
from xenops.toolstack.reflect.changes import Change, Create, Destroy, Update
from xenops.toolstack.reflect.guest import IGNORED, guest_metrics

_DOMAIN_TYPES = {
    XenopsDomainType.DOMAIN_HVM: DomainType.HVM,
    XenopsDomainType.DOMAIN_PV: DomainType.PV,
    XenopsDomainType.DOMAIN_PVIN_PVH: DomainType.PV_IN_PVH,
    XenopsDomainType.DOMAIN_PVH: DomainType.PVH,
}
_PROTOCOLS = {ConsoleProtocol.RFB: "rfb", ConsoleProtocol.VT100: "vt100"}


@dataclass(frozen=True, slots=True)
class VmNews:
    """What is to be done about a VM: records to change, and then, what xenops still has of it.

    `pull`: it is suspended; what xenops knows of it is kept as `last_booted_record`, and xenops forgets it.
    `forget`: it is halted; xenops forgets it.
    """

    changes: tuple[Change, ...]
    pull: bool = False
    forget: bool = False


@dataclass(frozen=True, slots=True)
class _View:
    """All that a field may depend on."""

    source: Source
    ref: str
    vm: VmRecord
    before: VmState | None
    now: VmState
    at: datetime

    def changed(self, field: str) -> bool:
        return self.before is None or getattr(self.before, field) != getattr(self.now, field)

    @property
    def power_state(self) -> PowerState:
        return PowerState(self.now.power_state)


def vm_news(source: Source, ref: str, before: VmState | None, now: VmState | None, *, at: datetime) -> VmNews:
    """What has changed in a VM, which xenops no longer knows when `now` is None."""
    vm = source.get(VmRecord, ref)
    if now is None:
        suspended = vm.power_state is PowerState.SUSPENDED
        return VmNews(() if suspended else tuple(_reset(source, ref, vm, PowerState.HALTED)))
    view = _View(source, ref, vm, before, now, at)
    changes = [*_metrics(view), *_vm(view), *_consoles(view), *_guest(view)]
    if not view.changed("power_state"):
        return VmNews(tuple(changes))
    changes += _reset(source, ref, vm, view.power_state)
    return VmNews(
        tuple(changes),
        pull=view.power_state is PowerState.SUSPENDED,
        forget=view.power_state is PowerState.HALTED,
    )


def _vm(view: _View) -> Iterator[Change]:
    fields: dict[str, Any] = {}
    now, vm = view.now, view.vm
    if view.changed("domids") and now.domids:
        fields["domid"] = str(now.domids[0])
    if view.changed("memory_target"):
        fields["memory_target"] = str(now.memory_target)
    if view.changed("rtc_timeoffset") and now.rtc_timeoffset:
        fields["platform"] = {**vm.platform, "timeoffset": now.rtc_timeoffset}
    if view.changed("xsdata_state") and now.domids:
        fields["xenstore_data"] = dict(now.xsdata_state)
    halted = view.power_state is PowerState.HALTED
    if view.changed("shadow_multiplier_target") and not halted and now.shadow_multiplier_target >= 0:
        fields["HVM_shadow_multiplier"] = now.shadow_multiplier_target
    if view.changed("featureset") and view.power_state is not PowerState.SUSPENDED:
        vendor = view.source.site.cpu_vendor
        fields["last_boot_CPU_flags"] = {"vendor": vendor, "features": now.featureset}
    if fields:
        yield Update(VmRecord.klass, view.ref, fields)


def _metrics(view: _View) -> Iterator[Change]:
    known = view.source.known(VmMetricsRecord, view.vm.metrics)
    fields = _metrics_fields(view, known)
    if known is None:
        yield Create(VmMetricsRecord.klass, fields, (VmRecord.klass, view.ref), "metrics")
    elif fields:
        yield Update(VmMetricsRecord.klass, view.vm.metrics, fields)


def _metrics_fields(view: _View, known: VmMetricsRecord | None) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    now = view.now
    for name in ("hvm", "nomigrate", "nested_virt", "numa_optimised"):
        if view.changed(name):
            fields[name] = getattr(now, name)
    if view.changed("vcpu_target"):
        fields["VCPUs_number"] = str(now.vcpu_target)
    if view.changed("numa_nodes"):
        fields["numa_nodes"] = str(now.numa_nodes)
    if view.changed("numa_node_memory"):
        fields["numa_node_memory"] = {str(node): str(size) for node, size in now.numa_node_memory}
    if view.changed("last_start_time"):
        started = xenapi_time(datetime.fromtimestamp(math.floor(now.last_start_time), UTC))
        if known is None or started > known.start_time:
            fields["start_time"] = started
    if view.changed("domain_type") and view.power_state is not PowerState.SUSPENDED:
        domain_type = _DOMAIN_TYPES.get(now.domain_type)
        if domain_type is None and view.power_state is PowerState.HALTED:
            domain_type = DomainType.UNSPECIFIED
        if domain_type is not None:
            fields["current_domain_type"] = str(domain_type)
    return fields


def _consoles(view: _View) -> Iterator[Change]:
    """One record for each protocol; clients connect by its location."""
    if not view.changed("consoles"):
        return
    there = {ref: view.source.known(ConsoleRecord, ref) for ref in view.vm.consoles}
    wanted = {_PROTOCOLS[console.protocol]: console.port for console in view.now.consoles}
    owner = VmRecord.klass, view.ref
    for ref, console in there.items():
        if console is None or console.protocol not in wanted:
            yield Destroy(ConsoleRecord.klass, ref, owner, "consoles")
    for protocol, port in wanted.items():
        if protocol not in {console.protocol for console in there.values() if console}:
            location = f"https://{view.source.site.address}/console?uuid={view.vm.uuid}"
            fields = {"protocol": protocol, "location": location, "VM": view.ref, "port": str(port)}
            yield Create(ConsoleRecord.klass, {**fields, "other_config": {}}, owner, "consoles", many=True)


def _guest(view: _View) -> Iterator[Change]:
    """Guest metrics are made with the first domain, and written when the agent has news."""
    missing = is_null(view.vm.guest_metrics)
    if not view.now.domids or not (missing or _agent_has_news(view) or view.changed("pv_drivers_detected")):
        return
    drivers = view.now.pv_drivers_detected
    fields: Mapping[str, Any] = {
        **guest_metrics(dict(view.now.guest_agent)),
        "PV_drivers_detected": drivers,
        "PV_drivers_up_to_date": drivers,
        "last_updated": xenapi_time(view.at),
    }
    if missing:
        yield Create("VM_guest_metrics", fields, (VmRecord.klass, view.ref), "guest_metrics")
    else:
        yield Update("VM_guest_metrics", view.vm.guest_metrics, fields)


def _agent_has_news(view: _View) -> bool:
    def news(state: VmState) -> dict[str, str]:
        return {key: value for key, value in state.guest_agent if key not in IGNORED}

    return view.before is None or news(view.before) != news(view.now)


def _reset(source: Source, ref: str, vm: VmRecord, power_state: PowerState) -> Iterator[Change]:
    """A VM's power state, and what follows from it for the records of its devices."""
    fields: dict[str, Any] = {
        "power_state": str(power_state),
        "allowed_operations": allowed_operations(power_state, vm.current_operations),
    }
    if power_state is PowerState.HALTED:
        fields["requires_reboot"] = False
        yield from _detached("VBD", vm.vbds, {"reserved": False})
        yield from _detached("VIF", vm.vifs, {"reserved": False, "reserved_pci": NULL})
        yield from _detached("VGPU", vm.vgpus, {})
        yield from _detached("VUSB", vm.vusbs, {})
    if power_state in {PowerState.HALTED, PowerState.SUSPENDED}:
        nowhere = {"resident_on": NULL, "scheduled_to_be_resident_on": NULL}
        fields |= {**nowhere, "domid": "-1", "attached_PCIs": []}
        for vgpu in vm.vgpus:
            yield Update("VGPU", vgpu, {**nowhere, "PCI": NULL})
        yield from _without(source, ref, vm)
    yield Update(VmRecord.klass, ref, fields)


def _detached(klass: str, refs: tuple[str, ...], fields: Mapping[str, Any]) -> Iterator[Change]:
    for ref in refs:
        yield Update(klass, ref, {"currently_attached": False, "current_operations": {}, **fields})


def _without(source: Source, ref: str, vm: VmRecord) -> Iterator[Change]:
    for pci_ref in vm.attached_pcis:
        pci = source.known(PciRecord, pci_ref)
        if pci:
            others = [other for other in pci.attached_vms if other != ref]
            yield Update(PciRecord.klass, pci_ref, {"attached_VMs": others})


def xenapi_time(at: datetime) -> str:
    """A time as XenAPI writes it."""
    return at.strftime("%Y%m%dT%H:%M:%SZ")
