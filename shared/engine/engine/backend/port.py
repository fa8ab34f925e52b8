"""Port: one hypervisor on one host, with all its verbs."""

from collections.abc import Callable, Sequence
from typing import Protocol

from schema.objects.dynamic import ObjectId

from engine.backend.device_verbs import PciVerbs, VbdVerbs, VgpuVerbs, VifVerbs, VusbVerbs
from engine.backend.verbs import HostVerbs, VmVerbs


class Backend(Protocol):
    """One hypervisor on one host."""

    name: str
    """As in settings and in `query`: `simulator`, `qemu`, ..."""

    reads_wait: bool = True
    """Whether to ask how something is may take a while; where not, requests need no thread."""

    host: HostVerbs
    vm: VmVerbs
    pci: PciVerbs
    vbd: VbdVerbs
    vif: VifVerbs
    vgpu: VgpuVerbs
    vusb: VusbVerbs

    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """Find what runs and watch it; `on_change` is told, from any thread, what changed by itself."""

    def stop(self) -> None:
        """Stop watching and let go of everything; VMs run on."""

    def trigger(self, command: str, arguments: Sequence[str]) -> None:
        """DEBUG.trigger; `Unimplemented <command>` for one not known."""
