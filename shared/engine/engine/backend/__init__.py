"""Backend: the port between the engine and a hypervisor, verb by verb.

Every verb is idempotent: asked again for what is already so, it does nothing and succeeds. A verb that a
backend cannot do raises `unimplemented(...)`. Verbs with an `Execution` run inside a task, on a thread that
holds the VM; the others may be called at any time by any thread, and are quick. None reads the metadata.

The 78 verbs (`trigger` included) are the original's, but: plug and unplug of a VBD are compositions and so no
verbs; what a device asks for is a question with yes or no; UPDATES.get is a callback given to `start`; `save`
calls `forbid_cancel` before the guest suspends. To take away what is not there succeeds, as a shutdown must.
"""

from engine.backend.device_verbs import PciVerbs, VbdVerbs, VgpuVerbs, VifVerbs, VusbVerbs
from engine.backend.execution import CreateOptions, Devices, Execution
from engine.backend.port import Backend
from engine.backend.verbs import HostVerbs, VmVerbs

__all__ = [
    "Backend",
    "CreateOptions",
    "Devices",
    "Execution",
    "HostVerbs",
    "PciVerbs",
    "VbdVerbs",
    "VgpuVerbs",
    "VifVerbs",
    "VmVerbs",
    "VusbVerbs",
]
