"""VM: machines, from their metadata to their end. Operations answer the id of their task at once.

Made of `xenops/calls/vm.py` by `make async-client`: change that one.
"""

# mypy: disable-error-code="no-any-return"
# The codec answers what schema.methods declares; a test holds these annotations against it.

from collections.abc import Sequence
from dataclasses import dataclass

from schema.objects.disk import Disk
from schema.objects.vm import Vm, VmState

from xenops.aio.caller import AsyncCaller
from xenops.calls.vm import Destination


@dataclass(frozen=True, slots=True)
class AsyncVmCalls:
    """The methods `VM.*`.

    Whatever changes a VM is an operation: it answers the id of its task at once, for `wait_for_task`. Other
    methods answer when they are done. A VM that is not known is refused with `Does_not_exist`.
    """

    call: AsyncCaller

    async def add(self, vm: Vm) -> str:
        """Make a VM known, or replace what is known of it; answers its id."""
        return await self.call("VM.add", vm=vm)

    async def remove(self, vm: str) -> None:
        """Forget a halted VM and its devices."""
        await self.call("VM.remove", id=vm)

    async def stat(self, vm: str) -> tuple[Vm, VmState]:
        """A VM as configured and as it is."""
        return await self.call("VM.stat", id=vm)

    async def exists(self, vm: str) -> bool:
        """Whether a VM is known."""
        return await self.call("VM.exists", id=vm)

    async def list(self) -> tuple[tuple[Vm, VmState], ...]:
        """All VMs as configured and as they are."""
        return await self.call("VM.list", unit=None)

    async def generate_state_string(self, vm: Vm) -> str:
        """A text of all that a VM would be built as: where two texts differ, so do the VMs."""
        return await self.call("VM.generate_state_string", vm=vm)

    async def export_metadata(self, vm: str) -> str:
        """A VM and its devices as one JSON text, for `import_metadata`."""
        return await self.call("VM.export_metadata", id=vm)

    async def import_metadata(self, metadata: str) -> str:
        """Make a VM and its devices known; answers the VM's id."""
        return await self.call("VM.import_metadata", metadata=metadata)

    async def import_metadata_async(self, metadata: str) -> str:
        """As `import_metadata`, in a task."""
        return await self.call("VM.import_metadata_async", metadata=metadata)

    async def start(self, vm: str, *, force: bool = False) -> str:
        """Start a halted VM; it is left paused. The wire calls `force` `paused`, the original's slip."""
        return await self.call("VM.start", id=vm, paused=force)

    async def shutdown(self, vm: str, delay: float | None = None) -> str:
        """Stop a VM: ask the guest and wait for `delay` seconds, or, with None, by force at once."""
        return await self.call("VM.shutdown", id=vm, delay=delay)

    async def reboot(self, vm: str, delay: float | None = None) -> str:
        """Stop a VM as `shutdown` does, and start it again."""
        return await self.call("VM.reboot", id=vm, delay=delay)

    async def suspend(self, vm: str, disk: Disk) -> str:
        """Save a VM to a disk and stop it."""
        return await self.call("VM.suspend", id=vm, suspend_vdi=disk)

    async def resume(self, vm: str, disk: Disk) -> str:
        """Go on with a suspended VM."""
        return await self.call("VM.resume", id=vm, suspend_vdi=disk)

    async def fast_resume(self, vm: str) -> str:
        """Go on with a VM after a save, in the same domain."""
        return await self.call("VM.fast_resume", id=vm)

    async def s3suspend(self, vm: str) -> str:
        """Send the guest to sleep."""
        return await self.call("VM.s3suspend", id=vm)

    async def s3resume(self, vm: str) -> str:
        """Wake the guest."""
        return await self.call("VM.s3resume", id=vm)

    async def pause(self, vm: str) -> str:
        """Stop a VM's CPUs."""
        return await self.call("VM.pause", id=vm)

    async def unpause(self, vm: str) -> str:
        """Let a VM's CPUs run."""
        return await self.call("VM.unpause", id=vm)

    async def migrate(self, vm: str, to: Destination) -> str:
        """Send a running VM to another host."""
        return await self.call(
            "VM.migrate",
            id=vm,
            vdi_map=tuple(to.vdi_map),
            vif_map=tuple(to.vif_map),
            pci_map=tuple(to.pci_map),
            xenops_url=to.url,
            compress=to.compress,
            verify_dest=to.verify,
            localhost_migration=to.localhost,
        )

    async def create(self, vm: str) -> str:
        """One step of a start: make an empty domain."""
        return await self.call("VM.create", id=vm)

    async def build(self, vm: str, *, force: bool = False) -> str:
        """One step of a start: put kernel or firmware into the domain."""
        return await self.call("VM.build", id=vm, force=force)

    async def create_device_model(self, vm: str, *, save_state: bool = False) -> str:
        """One step of a start: start what emulates devices."""
        return await self.call("VM.create_device_model", id=vm, save_state=save_state)

    async def destroy(self, vm: str) -> str:
        """One step of a shutdown: unmake the domain."""
        return await self.call("VM.destroy", id=vm)

    async def delay(self, vm: str, delay: float) -> str:
        """Do nothing to a VM for `delay` seconds."""
        return await self.call("VM.delay", id=vm, delay=delay)

    async def request_rdp(self, vm: str, *, enabled: bool) -> str:
        """Ask the guest for remote desktop, or for its end."""
        return await self.call("VM.request_rdp", id=vm, enabled=enabled)

    async def run_script(self, vm: str, script: str) -> str:
        """Run a script in the guest; the task's result tells what it printed."""
        return await self.call("VM.run_script", id=vm, script=script)

    async def set_xsdata(self, vm: str, xsdata: Sequence[tuple[str, str]]) -> str:
        """Replace the keys that the guest sees."""
        return await self.call("VM.set_xsdata", id=vm, xsdata=tuple(xsdata))

    async def set_vcpus(self, vm: str, vcpus: int) -> str:
        """Change the number of CPUs that are online."""
        return await self.call("VM.set_vcpus", id=vm, vcpus=vcpus)

    async def set_shadow_multiplier(self, vm: str, multiplier: float) -> str:
        """Change the size of shadow memory."""
        return await self.call("VM.set_shadow_multiplier", id=vm, multiplier=multiplier)

    async def set_memory_dynamic_range(self, vm: str, minimum: int, maximum: int) -> str:
        """Change the range, in bytes, that the balloon keeps to."""
        return await self.call("VM.set_memory_dynamic_range", id=vm, minimum=minimum, maximum=maximum)
