"""Records: VMs and their devices as XenAPI returns them, each class a model."""

from xenops.toolstack.records.disk import PbdRecord, SmRecord, SrRecord, VbdRecord, VdiRecord
from xenops.toolstack.records.network import (
    NetworkRecord,
    PifMetricsRecord,
    PifRecord,
    PvsProxyRecord,
    PvsServerRecord,
    PvsSiteRecord,
    VifRecord,
    VlanRecord,
)
from xenops.toolstack.records.passthrough import (
    PciRecord,
    PgpuRecord,
    PusbRecord,
    UsbGroupRecord,
    VgpuRecord,
    VgpuTypeRecord,
    VusbRecord,
)
from xenops.toolstack.records.scalars import NULL, Record, RecordError, is_null
from xenops.toolstack.records.vm import (
    ConsoleRecord,
    DomainType,
    PowerState,
    VmGuestMetricsRecord,
    VmMetricsRecord,
    VmRecord,
    VtpmRecord,
)

__all__ = [
    "NULL",
    "ConsoleRecord",
    "DomainType",
    "NetworkRecord",
    "PbdRecord",
    "PciRecord",
    "PgpuRecord",
    "PifMetricsRecord",
    "PifRecord",
    "PowerState",
    "PusbRecord",
    "PvsProxyRecord",
    "PvsServerRecord",
    "PvsSiteRecord",
    "Record",
    "RecordError",
    "SmRecord",
    "SrRecord",
    "UsbGroupRecord",
    "VbdRecord",
    "VdiRecord",
    "VgpuRecord",
    "VgpuTypeRecord",
    "VifRecord",
    "VlanRecord",
    "VmGuestMetricsRecord",
    "VmMetricsRecord",
    "VmRecord",
    "VtpmRecord",
    "VusbRecord",
    "is_null",
]
