"""Verbs on the host and on VMs."""

from collections.abc import Sequence
from typing import Any, Protocol

from schema.atomics.vm import DomainAction, RenameWhen, ShutdownRequest
from schema.ids import VmId
from schema.objects.host import GuestAgentFeature, Host, NumaAffinityPolicy
from schema.objects.network import Network
from schema.objects.vm import Vm, VmState

from engine.backend.execution import CreateOptions, Devices, Execution
from engine.image import Image, ImageStream


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

    def set_numa_affinity_policy(self, policy: NumaAffinityPolicy | None) -> None:
        """How VMs that start from now on are placed on the host's NUMA nodes; None: as is usual.

        A backend that places none takes any policy, as the original's do.
        """

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
