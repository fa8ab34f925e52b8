"""Atomics on VMs: single steps of a plan, each one backend verb."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schema.atomics.step import Step
from schema.objects.disk import Disk
from schema.objects.metadata import Metadata
from schema.wire.types import Assoc, VmId


class RenameWhen(StrEnum):
    """Whether a rename makes room for the arriving VM or gives it its final name."""

    PRE_MIGRATION = "Pre_migration"
    POST_MIGRATION = "Post_migration"


class ShutdownRequest(StrEnum):
    """What a guest is asked to do."""

    HALT = "Halt"
    REBOOT = "Reboot"
    POWER_OFF = "PowerOff"
    S3_SUSPEND = "S3Suspend"
    SUSPEND = "Suspend"


class DomainAction(StrEnum):
    """What a domain asks its manager to do."""

    POWEROFF = "Needs_poweroff"
    REBOOT = "Needs_reboot"
    SUSPEND = "Needs_suspend"
    CRASHDUMP = "Needs_crashdump"
    SOFTRESET = "Needs_softreset"


class VmHookScript(Step):
    """Run the host's hook scripts."""

    kind: Literal["VM_hook_script"] = "VM_hook_script"
    vm: VmId
    hook: str
    reason: str


class VmHookScriptStable(Step):
    """The same, naming the VM whose domain it is."""

    kind: Literal["VM_hook_script_stable"] = "VM_hook_script_stable"
    vm: VmId
    hook: str
    reason: str
    stable: VmId


class VmRemove(Step):
    """Forget the VM."""

    kind: Literal["VM_remove"] = "VM_remove"
    vm: VmId


class VmRename(Step):
    """Give the VM another id."""

    kind: Literal["VM_rename"] = "VM_rename"
    vm: VmId
    name: VmId
    when: RenameWhen


class VmImportMetadata(Step):
    """Store a VM and its devices."""

    kind: Literal["VM_import_metadata"] = "VM_import_metadata"
    vm: VmId
    metadata: Metadata


class VmSetXsdata(Step):
    """Replace the guest-visible keys."""

    kind: Literal["VM_set_xsdata"] = "VM_set_xsdata"
    vm: VmId
    xsdata: Assoc[str]


class VmSetVcpus(Step):
    """Change the number of vCPUs."""

    kind: Literal["VM_set_vcpus"] = "VM_set_vcpus"
    vm: VmId
    vcpus: int


class VmSetShadowMultiplier(Step):
    """Change shadow memory."""

    kind: Literal["VM_set_shadow_multiplier"] = "VM_set_shadow_multiplier"
    vm: VmId
    multiplier: float


class VmSetMemoryDynamicRange(Step):
    """Change the balloon's range."""

    kind: Literal["VM_set_memory_dynamic_range"] = "VM_set_memory_dynamic_range"
    vm: VmId
    minimum_bytes: int
    maximum_bytes: int


class VmSetDomainActionRequest(Step):
    """What to do should the domain stop now."""

    kind: Literal["VM_set_domain_action_request"] = "VM_set_domain_action_request"
    vm: VmId
    action: DomainAction | None


class VmPause(Step):
    """Stop the vCPUs."""

    kind: Literal["VM_pause"] = "VM_pause"
    vm: VmId


class VmUnpause(Step):
    """Let the vCPUs run."""

    kind: Literal["VM_unpause"] = "VM_unpause"
    vm: VmId


class VmSoftreboot(Step):
    """Reset the domain in place."""

    kind: Literal["VM_softreboot"] = "VM_softreboot"
    vm: VmId


class VmRequestRdp(Step):
    """Ask the guest for remote desktop."""

    kind: Literal["VM_request_rdp"] = "VM_request_rdp"
    vm: VmId
    enabled: bool


class VmRunScript(Step):
    """Run a script in the guest."""

    kind: Literal["VM_run_script"] = "VM_run_script"
    vm: VmId
    script: str


class VmCreate(Step):
    """Make the domain."""

    kind: Literal["VM_create"] = "VM_create"
    vm: VmId
    memory_upper_bound_bytes: int | None = None
    final: VmId | None = None
    no_sharept: bool = False


class VmBuild(Step):
    """Put a kernel or firmware in."""

    kind: Literal["VM_build"] = "VM_build"
    vm: VmId
    force: bool


class VmCreateDeviceModel(Step):
    """Start the device model."""

    kind: Literal["VM_create_device_model"] = "VM_create_device_model"
    vm: VmId
    save_state: bool


class VmDestroyDeviceModel(Step):
    """Stop the device model."""

    kind: Literal["VM_destroy_device_model"] = "VM_destroy_device_model"
    vm: VmId


class VmDestroy(Step):
    """Unmake the domain."""

    kind: Literal["VM_destroy"] = "VM_destroy"
    vm: VmId


class VmShutdownDomain(Step):
    """Ask the guest, await acknowledgement and end."""

    kind: Literal["VM_shutdown_domain"] = "VM_shutdown_domain"
    vm: VmId
    request: ShutdownRequest
    timeout_s: float


class VmS3suspend(Step):
    """Send the guest to sleep."""

    kind: Literal["VM_s3suspend"] = "VM_s3suspend"
    vm: VmId


class VmS3resume(Step):
    """Wake it."""

    kind: Literal["VM_s3resume"] = "VM_s3resume"
    vm: VmId


class VmSave(Step):
    """Write the suspend image."""

    kind: Literal["VM_save"] = "VM_save"
    vm: VmId
    live: bool
    image: Disk


class VmRestore(Step):
    """Read the suspend image."""

    kind: Literal["VM_restore"] = "VM_restore"
    vm: VmId
    image: Disk


class VmFastResume(Step):
    """Go on after a save."""

    kind: Literal["VM_fast_resume"] = "VM_fast_resume"
    vm: VmId


class VmDelay(Step):
    """Wait; holds back fast reboot loops."""

    kind: Literal["VM_delay"] = "VM_delay"
    vm: VmId
    delay_s: float


VmAtomic = Annotated[
    VmHookScript
    | VmHookScriptStable
    | VmRemove
    | VmRename
    | VmImportMetadata
    | VmSetXsdata
    | VmSetVcpus
    | VmSetShadowMultiplier
    | VmSetMemoryDynamicRange
    | VmSetDomainActionRequest
    | VmPause
    | VmUnpause
    | VmSoftreboot
    | VmRequestRdp
    | VmRunScript
    | VmCreate
    | VmBuild
    | VmCreateDeviceModel
    | VmDestroyDeviceModel
    | VmDestroy
    | VmShutdownDomain
    | VmS3suspend
    | VmS3resume
    | VmSave
    | VmRestore
    | VmFastResume
    | VmDelay,
    Field(discriminator="kind"),
]
"""Any of the above, told apart by `kind`."""
