"""Backend: the port between the engine and a hypervisor, verb by verb.

Every verb is idempotent: asked again for what is already so, it does nothing and succeeds. A verb that a
backend cannot do raises `unimplemented(...)`. Verbs with an `Execution` run inside a task, on a thread that
holds the VM; the others may be called at any time by any thread, and are quick. None reads the metadata.

The 78 verbs (`trigger` included) are the original's, but: plug and unplug of a VBD are compositions and so no
verbs; what a device asks for is a question with yes or no; UPDATES.get is a callback given to `start`; `save`
calls `forbid_cancel` before the guest suspends. To take away what is not there succeeds, as a shutdown must.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from schema.atomics.vm import DomainAction, RenameWhen, ShutdownRequest
from schema.ids import VmId
from schema.objects.disk import Disk
from schema.objects.dynamic import ObjectId
from schema.objects.host import GuestAgentFeature, Host
from schema.objects.network import Network
from schema.objects.pci import Pci, PciAddress, PciState
from schema.objects.vbd import Vbd, VbdState
from schema.objects.vgpu import Vgpu, VgpuState
from schema.objects.vif import Ipv4Configuration, Ipv6Configuration, LockingMode, PvsProxy, Vif, VifState
from schema.objects.vm import Vm, VmState
from schema.objects.vusb import Vusb, VusbState

from engine.image import Image, ImageStream


class Execution(Protocol):
    """What a verb may tell, and must ask, the task that it runs for."""

    def check_cancelled(self) -> None:
        """A cancel point: raises `XenopsError(Cancelled(task))` once the task is cancelled or fenced."""

    def cancellable(self, on_cancel: Callable[[], None]) -> AbstractContextManager[None]:
        """While inside, a cancel calls `on_cancel` (from another thread), to end a wait early."""

    def forbid_cancel(self) -> None:
        """From here on a cancel comes too late: a guest that suspends cannot be called back."""

    def stands_still(self) -> None:
        """The guest has stopped, and its state is on its way: what is owed by then can be done meanwhile."""

    def progress(self, fraction: float) -> None:
        """How far this verb has come, 0..1."""

    def wait(self, delay_s: float) -> None:
        """Sleep, and wake up early to raise when cancelled."""


@dataclass(frozen=True, slots=True)
class Devices:
    """All devices of one VM, as configured."""

    vbds: tuple[Vbd, ...] = ()
    vifs: tuple[Vif, ...] = ()
    pcis: tuple[Pci, ...] = ()
    vgpus: tuple[Vgpu, ...] = ()
    vusbs: tuple[Vusb, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """How a domain is created."""

    memory_upper_bound_bytes: int | None = None
    final: VmId | None = None
    no_sharept: bool = False


class HostVerbs(Protocol):
    """The host as a whole."""

    def stat(self) -> Host:
        """CPUs, hypervisor, chipset."""

    def console_data(self) -> str:
        """The hypervisor's console ring."""

    def total_memory_mib(self) -> int:
        """All memory of the host."""

    def send_debug_keys(self, keys: str) -> None:
        """Press keys on the hypervisor's console."""

    def update_guest_agent_features(self, features: Sequence[GuestAgentFeature]) -> None:
        """Tell every guest's agent which features it may use."""

    def combine_cpu_policies(self, first: str, second: str) -> str:
        """The policy that both hosts can offer."""

    def is_compatible(self, vm_policy: str, host_policy: str) -> bool:
        """Whether a VM with the one policy can run on a host with the other."""


class VmVerbs(Protocol):
    """The VM itself, without its devices."""

    minimum_reboot_delay_s: float
    """A reboot sooner than this after the start waits first."""

    def add(self, vm: Vm) -> None:
        """The VM is now managed; put right what outlives it."""

    def remove(self, vm: Vm) -> None:
        """The VM is no longer managed."""

    def rename(self, vm: VmId, name: VmId, when: RenameWhen) -> None:
        """Give the VM another id."""

    def create(self, execution: Execution, vm: Vm, devices: Devices, options: CreateOptions) -> None:
        """Make an empty, paused domain. From here until told otherwise its action request is `reboot`.

        Errors: `Already_exists("domain", vm)` when there is one that is built.
        """

    def build(self, execution: Execution, vm: Vm, devices: Devices, *, force: bool) -> None:
        """Put kernel or firmware into the domain. Errors: `Does_not_exist("domain", vm)`."""

    def create_device_model(
        self, execution: Execution, vm: Vm, devices: Devices, *, save_state: bool
    ) -> None:
        """Start what emulates the domain's devices."""

    def destroy_device_model(self, execution: Execution, vm: Vm) -> None:
        """Stop it; no domain, nothing to do."""

    def destroy(self, execution: Execution, vm: Vm) -> None:
        """Unmake the domain and let go of its devices; a suspended VM stays suspended."""

    def pause(self, execution: Execution, vm: Vm) -> None:
        """Stop the vCPUs. Errors: `Does_not_exist("domain", vm)`, `Domain_not_built`."""

    def unpause(self, execution: Execution, vm: Vm) -> None:
        """Let the vCPUs run. Errors: `Does_not_exist("domain", vm)`, `Domain_not_built`."""

    def set_xsdata(self, execution: Execution, vm: Vm, xsdata: Sequence[tuple[str, str]]) -> None:
        """Replace the guest-visible keys."""

    def set_vcpus(self, execution: Execution, vm: Vm, vcpus: int) -> None:
        """Change the number of vCPUs.

        Errors: `Invalid_vcpus(max)` outside 1..max, `Does_not_exist("domain", vm)`, `Domain_not_built`.
        """

    def set_shadow_multiplier(self, execution: Execution, vm: Vm, multiplier: float) -> None:
        """Change the size of shadow memory. Errors: `Does_not_exist("domain", vm)`, `Domain_not_built`."""

    def set_memory_dynamic_range(
        self, execution: Execution, vm: Vm, minimum_bytes: int, maximum_bytes: int
    ) -> None:
        """Change the range that the balloon keeps to."""

    def request_shutdown(
        self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float
    ) -> bool:
        """Ask the guest; answers whether it acknowledged within `timeout_s`.

        Errors: `Does_not_exist("domain", vm)`.
        """

    def wait_shutdown(self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float) -> bool:
        """Answers whether the guest has ended within `timeout_s`."""

    def assert_can_save(self, vm: Vm) -> None:
        """Raises when the VM cannot be suspended or migrated now: `Does_not_exist`, `Domain_not_built`."""

    def save(
        self, execution: Execution, vm: Vm, image: Image, *, live: bool, vgpu: ImageStream | None = None
    ) -> None:
        """Write the suspend image, to a disk or to another host; the domain is suspended at the end of it.

        The state of virtual GPUs goes to `vgpu`, where there is such a stream. Tells its progress, and can be
        cancelled until it calls `forbid_cancel`; cancelled or failed, the VM runs on as before and there is
        no image.
        """

    def restore(
        self, execution: Execution, vm: Vm, devices: Devices, image: Image, *, vgpu: ImageStream | None = None
    ) -> None:
        """Read the suspend image into a created domain, which it leaves paused.

        Errors: `Internal_error` that says what is wrong with the image; there is no half of a VM then.
        """

    def resume(self, execution: Execution, vm: Vm) -> None:
        """Go on after a save, in the same domain."""

    def s3suspend(self, execution: Execution, vm: Vm) -> None:
        """Send the guest to sleep."""

    def s3resume(self, execution: Execution, vm: Vm) -> None:
        """Wake it."""

    def soft_reset(self, execution: Execution, vm: Vm) -> None:
        """Reset the domain in place."""

    def wait_ballooning(self, execution: Execution, vm: Vm) -> None:
        """Wait until the balloon has reached its target."""

    def run_script(self, execution: Execution, vm: Vm, script: str) -> Any:
        """Run a script in the guest; answers `{"rc": 0, "stdout": "", "stderr": ""}`."""

    def request_rdp(self, vm: Vm, *, enabled: bool) -> None:
        """Ask the guest for remote desktop."""

    def get_state(self, vm: Vm) -> VmState:
        """The VM as it is now; of a VM without a domain: Halted, all else empty."""

    def set_domain_action_request(self, vm: Vm, action: DomainAction | None) -> None:
        """What shall be done if the domain stops now."""

    def get_domain_action_request(self, vm: Vm) -> DomainAction | None:
        """What the domain asks for; None: nothing. No domain: `poweroff`."""

    def get_hook_args(self, vm: VmId) -> Sequence[str]:
        """Further arguments for hook scripts."""

    def generate_state_string(self, vm: Vm) -> str:
        """What the VM would be built as, in words that tell when two differ."""

    def get_internal_state(
        self, vdi_map: Sequence[tuple[str, str]], vif_map: Sequence[tuple[str, Network]], vm: Vm
    ) -> str:
        """What this backend alone knows of the running VM, for another host."""

    def set_internal_state(self, vm: Vm, state: str) -> None:
        """Take what another host's `get_internal_state` gave."""


class PciVerbs(Protocol):
    """Host devices given to a VM."""

    def get_state(self, vm: VmId, pci: Pci) -> PciState:
        """Whether it is plugged."""

    def plug(self, execution: Execution, vm: VmId, pci: Pci, *, use_qmp: bool) -> None:
        """Give it to the domain. Errors: `Already_exists("pci", position)`."""

    def unplug(self, execution: Execution, vm: VmId, pci: Pci) -> None:
        """Take it away; not plugged, nothing to do."""

    def wants_unplug(self, vm: VmId, pci: Pci) -> bool:
        """Whether the device asks to be unplugged."""

    def dequarantine(self, address: PciAddress) -> None:
        """Let the host use it again."""


class VbdVerbs(Protocol):
    """Disks."""

    def set_active(self, execution: Execution, vm: VmId, vbd: Vbd, *, active: bool) -> None:
        """Note that the VM shall have it; asked without a domain, too."""

    def epoch_begin(self, execution: Execution, vm: VmId, disk: Disk, *, persistent: bool) -> None:
        """Begin a life of the disk's content: not persistent, it ends with `epoch_end`."""

    def epoch_end(self, execution: Execution, vm: VmId, disk: Disk) -> None:
        """End it."""

    def attach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Make the disk's backend ready.

        Errors: `Does_not_exist("domain", vm)`, `Already_exists("vbd", position)`.
        """

    def activate(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Give an attached disk to the domain."""

    def deactivate(self, execution: Execution, vm: VmId, vbd: Vbd, *, force: bool) -> None:
        """Take the disk from the domain. Unforced, a guest may refuse: `Device_detach_rejected`."""

    def detach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Let the disk's backend go."""

    def insert(self, execution: Execution, vm: VmId, vbd: Vbd, disk: Disk) -> None:
        """Put a medium in; the one that is in already is opened anew. Errors: `Media_present` for another."""

    def eject(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Take the medium out; an empty drive, nothing to do. Errors: `Media_not_ejectable` for a disk."""

    def set_qos(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Apply its I/O scheduling; not plugged, nothing to do."""

    def get_state(self, vm: VmId, vbd: Vbd) -> VbdState:
        """The disk as it is now."""

    def wants_unplug(self, vm: VmId, vbd: Vbd) -> bool:
        """Whether the device asks to be unplugged."""

    def wants_qos(self, vm: VmId, vbd: Vbd) -> bool:
        """Whether its I/O scheduling must be applied anew."""


class VifVerbs(Protocol):
    """Network interfaces. What is set on one that is not plugged has no effect: `plug` brings it all."""

    def set_active(self, execution: Execution, vm: VmId, vif: Vif, *, active: bool) -> None:
        """Note that the VM shall have it."""

    def plug(self, execution: Execution, vm: VmId, vif: Vif) -> None:
        """Give the interface to the domain, connected to `vif.backend`.

        Errors: `Does_not_exist("domain", vm)`, `Already_exists("vif", position)`.
        """

    def unplug(self, execution: Execution, vm: VmId, vif: Vif, *, force: bool) -> None:
        """Take it away; not plugged, nothing to do."""

    def move(self, execution: Execution, vm: VmId, vif: Vif, network: Network) -> None:
        """Connect it elsewhere."""

    def set_carrier(self, execution: Execution, vm: VmId, vif: Vif, *, carrier: bool) -> None:
        """Plug or pull the cable."""

    def set_locking_mode(self, execution: Execution, vm: VmId, vif: Vif, mode: LockingMode) -> None:
        """Restrict its addresses."""

    def set_ipv4_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv4Configuration
    ) -> None:
        """Configure the guest's IPv4."""

    def set_ipv6_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv6Configuration
    ) -> None:
        """Configure the guest's IPv6."""

    def set_pvs_proxy(self, execution: Execution, vm: VmId, vif: Vif, proxy: PvsProxy | None) -> None:
        """Configure the PVS proxy."""

    def set_trunks(self, execution: Execution, vm: VmId, vif: Vif, trunks: Sequence[int]) -> None:
        """Restrict its VLANs."""

    def get_state(self, vm: VmId, vif: Vif) -> VifState:
        """The interface as it is now."""

    def wants_unplug(self, vm: VmId, vif: Vif) -> bool:
        """Whether the device asks to be unplugged."""


class VgpuVerbs(Protocol):
    """Virtual GPUs."""

    def start(self, execution: Execution, vm: VmId, vgpus: Sequence[Vgpu], *, saved: bool) -> None:
        """Start their emulators."""

    def set_active(self, execution: Execution, vm: VmId, vgpu: Vgpu, *, active: bool) -> None:
        """Note that the VM shall have it."""

    def get_state(self, vm: VmId, vgpu: Vgpu) -> VgpuState:
        """The virtual GPU as it is now."""


class VusbVerbs(Protocol):
    """Host USB devices given to a VM."""

    def plug(self, execution: Execution, vm: VmId, vusb: Vusb) -> None:
        """Give it to the domain. Errors: `Does_not_exist("domain", vm)`."""

    def unplug(self, execution: Execution, vm: VmId, vusb: Vusb) -> None:
        """Take it away; not plugged, nothing to do."""

    def get_state(self, vm: VmId, vusb: Vusb) -> VusbState:
        """Whether it is plugged."""

    def wants_unplug(self, vm: VmId, vusb: Vusb) -> bool:
        """Whether the device asks to be unplugged."""


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
