"""Calls: the interface as typed Python, one class for each of its namespaces."""

from xenops.calls.control import DebugCalls, HostCalls, ObserverCalls
from xenops.calls.devices import PciCalls, VbdCalls, VgpuCalls, VusbCalls
from xenops.calls.events import EventsCalls, QuarantineCalls, TaskCalls, UpdatesCalls
from xenops.calls.lanes import LaneCalls, WorkerCalls
from xenops.calls.vif import VifCalls
from xenops.calls.vm import VmCalls

__all__ = [
    "DebugCalls",
    "EventsCalls",
    "HostCalls",
    "LaneCalls",
    "ObserverCalls",
    "PciCalls",
    "QuarantineCalls",
    "TaskCalls",
    "UpdatesCalls",
    "VbdCalls",
    "VgpuCalls",
    "VifCalls",
    "VmCalls",
    "VusbCalls",
    "WorkerCalls",
]
