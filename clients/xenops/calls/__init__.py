"""Calls: the interface as typed Python, one class for each of its namespaces."""

from xenops.calls.control import DebugCalls, HostCalls, ObserverCalls
from xenops.calls.devices import PciCalls, VbdCalls, VgpuCalls, VusbCalls
from xenops.calls.events import TaskCalls, UpdatesCalls
from xenops.calls.vif import VifCalls
from xenops.calls.vm import VmCalls

__all__ = [
    "DebugCalls",
    "HostCalls",
    "ObserverCalls",
    "PciCalls",
    "TaskCalls",
    "UpdatesCalls",
    "VbdCalls",
    "VgpuCalls",
    "VifCalls",
    "VmCalls",
    "VusbCalls",
]
