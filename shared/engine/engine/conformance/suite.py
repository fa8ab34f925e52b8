"""The whole suite, put together."""

from engine.conformance.devices import DeviceConformance
from engine.conformance.execution import SuiteExecution
from engine.conformance.host import HostConformance
from engine.conformance.recovery import RecoveryConformance
from engine.conformance.subject import Subject
from engine.conformance.suspend import SuspendConformance
from engine.conformance.vms import VmConformance

__all__ = ["BackendConformance", "Subject", "SuiteExecution"]


class BackendConformance(
    VmConformance, SuspendConformance, DeviceConformance, HostConformance, RecoveryConformance
):
    """What every backend must do; a subclass gives the fixture `subject`."""
