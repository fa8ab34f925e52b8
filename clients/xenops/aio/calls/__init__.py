"""Calls: the interface as typed Python, one class for each of its namespaces.

Made of `xenops/calls/__init__.py` by `make async-client`: change that one.
"""

from xenops.aio.calls.control import AsyncDebugCalls, AsyncHostCalls, AsyncObserverCalls
from xenops.aio.calls.devices import AsyncPciCalls, AsyncVbdCalls, AsyncVgpuCalls, AsyncVusbCalls
from xenops.aio.calls.events import AsyncEventsCalls, AsyncQuarantineCalls, AsyncTaskCalls, AsyncUpdatesCalls
from xenops.aio.calls.lanes import AsyncLaneCalls, AsyncWorkerCalls
from xenops.aio.calls.vif import AsyncVifCalls
from xenops.aio.calls.vm import AsyncVmCalls

__all__ = [
    "AsyncDebugCalls",
    "AsyncEventsCalls",
    "AsyncHostCalls",
    "AsyncLaneCalls",
    "AsyncObserverCalls",
    "AsyncPciCalls",
    "AsyncQuarantineCalls",
    "AsyncTaskCalls",
    "AsyncUpdatesCalls",
    "AsyncVbdCalls",
    "AsyncVgpuCalls",
    "AsyncVifCalls",
    "AsyncVmCalls",
    "AsyncVusbCalls",
    "AsyncWorkerCalls",
]
