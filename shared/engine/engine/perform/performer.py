"""Performer: tells what an atomic is about and has it performed."""

from typing import Any

from schema.atomics import Atomic
from schema.atomics.pci import (
    PciDequarantine,
    PciPlug,
    PciUnplug,
    VgpuSetActive,
    VgpuStart,
    VusbPlug,
    VusbUnplug,
)
from schema.atomics.vbd import VbdStep
from schema.atomics.vif import VifStep

from engine.backend import Execution
from engine.perform.context import Context
from engine.perform.disks import perform_on_disk
from engine.perform.interfaces import perform_on_interface
from engine.perform.passthrough import perform_passthrough
from engine.perform.vms import perform_on_vm

_PASSTHROUGH = PciPlug | PciUnplug | PciDequarantine | VusbPlug | VusbUnplug | VgpuSetActive | VgpuStart


class Performer:
    """Performs any atomic in one context; safe for any thread."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def perform(self, atomic: Atomic, execution: Execution) -> Any:
        """Perform one; answers the wire value that it gave, mostly None.

        Raises:
            XenopsError: the store or the backend says no.
        """
        if isinstance(atomic, VbdStep):
            perform_on_disk(self._context, atomic, execution)
        elif isinstance(atomic, VifStep):
            perform_on_interface(self._context, atomic, execution)
        elif isinstance(atomic, _PASSTHROUGH):
            perform_passthrough(self._context, atomic, execution)
        else:
            return perform_on_vm(self._context, atomic, execution)
        return None
