"""Methods: the 105 calls of the interface, each by wire name, parameters and result, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schema.objects.disk import Disk
from schema.objects.dynamic import ObjectId
from schema.objects.host import GuestAgentFeature, Host, NumaAffinityPolicy, Query
from schema.objects.network import Network
from schema.objects.pci import Pci, PciAddress, PciState
from schema.objects.task import Task
from schema.objects.vbd import Vbd, VbdState
from schema.objects.vgpu import Vgpu, VgpuState
from schema.objects.vif import Ipv4Configuration, Ipv6Configuration, LockingMode, PvsProxy, Vif, VifState
from schema.objects.vm import Vm, VmState
from schema.objects.vusb import Vusb
from schema.wire.types import Assoc, CpuPolicy, DeviceId, Int64


@dataclass(frozen=True, slots=True)
class Method:
    """One call: its parameters in the original's order, by name and type, and the type of its result."""

    name: str
    parameters: tuple[tuple[str, Any], ...]
    result: Any


_QUERY = (
    Method("query", (("debug_info", str), ("unit", None)), Query),
    Method("get_diagnostics", (("debug_info", str), ("unit", None)), str),
)

_TASK = (
    Method("Task.stat", (("debug_info", str), ("id", str)), Task),
    Method("Task.cancel", (("debug_info", str), ("id", str)), None),
    Method("Task.destroy", (("debug_info", str), ("id", str)), None),
    Method("Task.list", (("debug_info", str),), tuple[Task, ...]),
    Method("Task.destroy_on_finish", (("debug_info", str), ("id", str)), None),
)

_HOST = (
    Method("HOST.stat", (("debug_info", str),), Host),
    Method("HOST.get_console_data", (("debug_info", str),), str),
    Method("HOST.get_total_memory_mib", (("debug_info", str),), Int64),
    Method("HOST.send_debug_keys", (("debug_info", str), ("debug_keys", str)), None),
    Method("HOST.set_worker_pool_size", (("debug_info", str), ("pool_size", int)), None),
    Method(
        "HOST.update_guest_agent_features",
        (("debug_info", str), ("features", tuple[GuestAgentFeature, ...])),
        None,
    ),
    Method(
        "HOST.combine_cpu_policies",
        (("debug_info", str), ("policy1", CpuPolicy), ("policy2", CpuPolicy)),
        CpuPolicy,
    ),
    Method(
        "HOST.is_compatible",
        (("debug_info", str), ("vm_policy", CpuPolicy), ("host_policy", CpuPolicy)),
        bool,
    ),
    Method(
        "HOST.set_numa_affinity_policy",
        (("debug_info", str), ("numa_affinity_policy", NumaAffinityPolicy | None)),
        None,
    ),
)

_VM = (
    Method("VM.add", (("debug_info", str), ("vm", Vm)), str),
    Method("VM.remove", (("debug_info", str), ("id", str)), None),
    Method("VM.generate_state_string", (("debug_info", str), ("vm", Vm)), str),
    Method(
        "VM.migrate",
        (
            ("debug_info", str),
            ("id", str),
            ("vdi_map", Assoc[str]),
            ("vif_map", Assoc[Network]),
            ("pci_map", Assoc[PciAddress]),
            ("xenops_url", str),
            ("compress", bool),
            ("verify_dest", bool),
            ("localhost_migration", bool),
        ),
        str,
    ),
    Method("VM.create", (("debug_info", str), ("id", str)), str),
    Method("VM.build", (("debug_info", str), ("id", str), ("force", bool)), str),
    Method("VM.create_device_model", (("debug_info", str), ("id", str), ("save_state", bool)), str),
    Method("VM.destroy", (("debug_info", str), ("id", str)), str),
    Method("VM.pause", (("debug_info", str), ("id", str)), str),
    Method("VM.unpause", (("debug_info", str), ("id", str)), str),
    Method("VM.request_rdp", (("debug_info", str), ("id", str), ("enabled", bool)), str),
    Method("VM.run_script", (("debug_info", str), ("id", str), ("script", str)), str),
    Method("VM.set_xsdata", (("debug_info", str), ("id", str), ("xsdata", Assoc[str])), str),
    Method("VM.set_vcpus", (("debug_info", str), ("id", str), ("vcpus", int)), str),
    Method("VM.set_shadow_multiplier", (("debug_info", str), ("id", str), ("multiplier", float)), str),
    Method(
        "VM.set_memory_dynamic_range",
        (("debug_info", str), ("id", str), ("minimum", Int64), ("maximum", Int64)),
        str,
    ),
    Method("VM.stat", (("debug_info", str), ("id", str)), tuple[Vm, VmState]),
    Method("VM.exists", (("debug_info", str), ("id", str)), bool),
    Method("VM.list", (("debug_info", str), ("unit", None)), tuple[tuple[Vm, VmState], ...]),
    Method("VM.delay", (("debug_info", str), ("id", str), ("delay", float)), str),
    Method("VM.start", (("debug_info", str), ("id", str), ("paused", bool)), str),
    Method("VM.shutdown", (("debug_info", str), ("id", str), ("delay", float | None)), str),
    Method("VM.reboot", (("debug_info", str), ("id", str), ("delay", float | None)), str),
    Method("VM.suspend", (("debug_info", str), ("id", str), ("suspend_vdi", Disk)), str),
    Method("VM.resume", (("debug_info", str), ("id", str), ("suspend_vdi", Disk)), str),
    Method("VM.fast_resume", (("debug_info", str), ("id", str)), str),
    Method("VM.s3suspend", (("debug_info", str), ("id", str)), str),
    Method("VM.s3resume", (("debug_info", str), ("id", str)), str),
    Method("VM.export_metadata", (("debug_info", str), ("id", str)), str),
    Method("VM.import_metadata", (("debug_info", str), ("metadata", str)), str),
    Method("VM.import_metadata_async", (("debug_info", str), ("metadata", str)), str),
)

_PCI = (
    Method("PCI.add", (("debug_info", str), ("pci", Pci)), DeviceId),
    Method("PCI.remove", (("debug_info", str), ("id", DeviceId)), None),
    Method("PCI.stat", (("debug_info", str), ("id", DeviceId)), tuple[Pci, PciState]),
    Method("PCI.list", (("debug_info", str), ("id", str)), tuple[tuple[Pci, PciState], ...]),
    Method("PCI.dequarantine", (("debug_info", str), ("pci_addr", PciAddress)), None),
)

_VBD = (
    Method("VBD.add", (("debug_info", str), ("vbd", Vbd)), DeviceId),
    Method("VBD.plug", (("debug_info", str), ("id", DeviceId)), str),
    Method("VBD.unplug", (("debug_info", str), ("id", DeviceId), ("force", bool)), str),
    Method("VBD.eject", (("debug_info", str), ("id", DeviceId)), str),
    Method("VBD.insert", (("debug_info", str), ("id", DeviceId), ("disk", Disk)), str),
    Method("VBD.stat", (("debug_info", str), ("id", DeviceId)), tuple[Vbd, VbdState]),
    Method("VBD.list", (("debug_info", str), ("id", str)), tuple[tuple[Vbd, VbdState], ...]),
    Method("VBD.remove", (("debug_info", str), ("id", DeviceId)), None),
)

_VUSB = (
    Method("VUSB.add", (("debug_info", str), ("vusb", Vusb)), DeviceId),
    Method("VUSB.plug", (("debug_info", str), ("id", DeviceId)), str),
    Method("VUSB.unplug", (("debug_info", str), ("id", DeviceId)), str),
    Method("VUSB.stat", (("debug_info", str), ("id", DeviceId)), tuple[Vusb, PciState]),
    Method("VUSB.list", (("debug_info", str), ("id", str)), tuple[tuple[Vusb, PciState], ...]),
    Method("VUSB.remove", (("debug_info", str), ("id", DeviceId)), None),
)

_VIF = (
    Method("VIF.add", (("debug_info", str), ("vif", Vif)), DeviceId),
    Method("VIF.plug", (("debug_info", str), ("id", DeviceId)), str),
    Method("VIF.unplug", (("debug_info", str), ("id", DeviceId), ("force", bool)), str),
    Method("VIF.move", (("debug_info", str), ("id", DeviceId), ("network", Network)), str),
    Method("VIF.stat", (("debug_info", str), ("id", DeviceId)), tuple[Vif, VifState]),
    Method("VIF.list", (("debug_info", str), ("id", str)), tuple[tuple[Vif, VifState], ...]),
    Method("VIF.remove", (("debug_info", str), ("id", DeviceId)), None),
    Method("VIF.set_carrier", (("debug_info", str), ("id", DeviceId), ("carrier", bool)), str),
    Method(
        "VIF.set_locking_mode", (("debug_info", str), ("id", DeviceId), ("locking_mode", LockingMode)), str
    ),
    Method(
        "VIF.set_ipv4_configuration",
        (("debug_info", str), ("id", DeviceId), ("ipv4_configuration", Ipv4Configuration)),
        str,
    ),
    Method(
        "VIF.set_ipv6_configuration",
        (("debug_info", str), ("id", DeviceId), ("ipv6_configuration", Ipv6Configuration)),
        str,
    ),
    Method("VIF.set_pvs_proxy", (("debug_info", str), ("id", DeviceId), ("proxy", PvsProxy | None)), str),
    Method("VIF.set_trunks", (("debug_info", str), ("id", DeviceId), ("trunks", tuple[Int64, ...])), str),
)

_VGPU = (
    Method("VGPU.add", (("debug_info", str), ("vgpu", Vgpu)), DeviceId),
    Method("VGPU.stat", (("debug_info", str), ("id", DeviceId)), tuple[Vgpu, VgpuState]),
    Method("VGPU.list", (("debug_info", str), ("id", str)), tuple[tuple[Vgpu, VgpuState], ...]),
    Method("VGPU.remove", (("debug_info", str), ("id", DeviceId)), None),
)

_UPDATES = (
    Method(
        "UPDATES.get",
        (("debug_info", str), ("last_id", int | None), ("timeout", int | None)),
        tuple[tuple[tuple[int, tuple[ObjectId, ...]], ...], tuple[ObjectId, ...], int],
    ),
    Method("UPDATES.last_id", (("debug_info", str),), int),
    Method("UPDATES.inject_barrier", (("debug_info", str), ("vm_id", str), ("id", int)), None),
    Method("UPDATES.remove_barrier", (("debug_info", str), ("id", int)), None),
    Method("UPDATES.refresh_vm", (("debug_info", str), ("id", str)), None),
)

_DEBUG = (
    Method("DEBUG.trigger", (("debug_info", str), ("cmd", str), ("args", tuple[str, ...])), None),
    Method("DEBUG.shutdown", (("debug_info", str), ("unit", None)), None),
)

_OBSERVER = (
    Method(
        "Observer.create",
        (
            ("dbg", str),
            ("uuid", str),
            ("name_label", str),
            ("dict", Assoc[str]),
            ("endpoints", tuple[str, ...]),
            ("bool", bool),
        ),
        None,
    ),
    Method("Observer.destroy", (("dbg", str), ("uuid", str)), None),
    Method("Observer.set_enabled", (("dbg", str), ("uuid", str), ("bool", bool)), None),
    Method("Observer.set_attributes", (("dbg", str), ("uuid", str), ("dict", Assoc[str])), None),
    Method("Observer.set_endpoints", (("dbg", str), ("uuid", str), ("endpoints", tuple[str, ...])), None),
    Method("Observer.init", (("dbg", str),), None),
    Method("Observer.set_trace_log_dir", (("dbg", str), ("string", str)), None),
    Method("Observer.set_export_interval", (("dbg", str), ("float", float)), None),
    Method("Observer.set_export_chunk_size", (("dbg", str), ("int", int)), None),
    Method("Observer.set_max_spans", (("dbg", str), ("int", int)), None),
    Method("Observer.set_max_traces", (("dbg", str), ("int", int)), None),
    Method("Observer.set_max_depth", (("dbg", str), ("int", int)), None),
    Method("Observer.set_max_file_size", (("dbg", str), ("int", int)), None),
    Method("Observer.set_host_id", (("dbg", str), ("string", str)), None),
    Method("Observer.set_compress_tracing_files", (("dbg", str), ("bool", bool)), None),
)

METHODS: Mapping[str, Method] = {
    method.name: method
    for methods in (_QUERY, _TASK, _HOST, _VM, _PCI, _VBD, _VUSB, _VIF, _VGPU, _UPDATES, _DEBUG, _OBSERVER)
    for method in methods
}
"""Every method by its wire name."""
