"""Errors: the closed set of failures that the interface knows."""

from typing import Annotated, Literal

from pydantic import Field

from schema.objects.vm import PowerState
from schema.wire.types import Arm, Int64, Variant


class AlreadyExists(Arm):
    """There is a `klass`, such as VM, of that id already."""

    kind: Literal["Already_exists"] = "Already_exists"
    klass: str
    id: str


class DoesNotExist(Arm):
    """There is no `klass`, such as VM, VBD or task, of that id."""

    kind: Literal["Does_not_exist"] = "Does_not_exist"
    klass: str
    id: str


class Unimplemented(Arm):
    """The instance's backend cannot do `what`, mostly a verb's name."""

    kind: Literal["Unimplemented"] = "Unimplemented"
    what: str


class DomainNotBuilt(Arm):
    """The VM has no domain, or one without a kernel."""

    kind: Literal["Domain_not_built"] = "Domain_not_built"


class InvalidVcpus(Arm):
    """So many CPUs the VM cannot have."""

    kind: Literal["Invalid_vcpus"] = "Invalid_vcpus"
    count: int


class BadPowerState(Arm):
    """The VM is not in the power state that the operation begins from."""

    kind: Literal["Bad_power_state"] = "Bad_power_state"
    found: PowerState
    expected: PowerState


class FailedToAcknowledgeShutdownRequest(Arm):
    """The guest did not react when it was asked to shut down."""

    kind: Literal["Failed_to_acknowledge_shutdown_request"] = "Failed_to_acknowledge_shutdown_request"


class FailedToAcknowledgeSuspendRequest(Arm):
    """The guest did not react when it was asked to suspend."""

    kind: Literal["Failed_to_acknowledge_suspend_request"] = "Failed_to_acknowledge_suspend_request"


class FailedToShutdown(Arm):
    """The guest did not shut down within so many seconds."""

    kind: Literal["Failed_to_shutdown"] = "Failed_to_shutdown"
    vm: str
    timeout_s: float


class FailedToSuspend(Arm):
    """The guest did not suspend within so many seconds."""

    kind: Literal["Failed_to_suspend"] = "Failed_to_suspend"
    vm: str
    timeout_s: float


class DeviceIsConnected(Arm):
    """The device is plugged, and must not be for this."""

    kind: Literal["Device_is_connected"] = "Device_is_connected"


class DeviceNotConnected(Arm):
    """The device is not plugged, and must be for this."""

    kind: Literal["Device_not_connected"] = "Device_not_connected"


class DeviceDetachRejected(Arm):
    """The guest does not let go of a device, for a reason."""

    kind: Literal["Device_detach_rejected"] = "Device_detach_rejected"
    klass: str
    id: str
    reason: str


class MediaNotEjectable(Arm):
    """The medium cannot be ejected."""

    kind: Literal["Media_not_ejectable"] = "Media_not_ejectable"


class MediaPresent(Arm):
    """There is a medium in the drive already."""

    kind: Literal["Media_present"] = "Media_present"


class MediaNotPresent(Arm):
    """There is no medium in the drive."""

    kind: Literal["Media_not_present"] = "Media_not_present"


class NoBootableDevice(Arm):
    """The VM has nothing to boot from."""

    kind: Literal["No_bootable_device"] = "No_bootable_device"


class BootloaderError(Arm):
    """The bootloader failed; with its own words."""

    kind: Literal["Bootloader_error"] = "Bootloader_error"
    bootloader: str
    message: str


class CannotFreeThisMuchMemory(Arm):
    """So much memory is needed, and so much can be freed: both in KiB."""

    kind: Literal["Cannot_free_this_much_memory"] = "Cannot_free_this_much_memory"
    needed_kib: Int64
    free_kib: Int64


class VmsFailedToCooperate(Arm):
    """These VMs did not give memory back in time."""

    kind: Literal["Vms_failed_to_cooperate"] = "Vms_failed_to_cooperate"
    vms: tuple[str, ...]


class IoError(Arm):
    """Reading or writing failed."""

    kind: Literal["IO_error"] = "IO_error"


class FailedToContactRemoteService(Arm):
    """A service of that name was not reached."""

    kind: Literal["Failed_to_contact_remote_service"] = "Failed_to_contact_remote_service"
    service: str


class HookFailed(Arm):
    """An administrator's script forbade it: which, why it ran, what it wrote, how it ended."""

    kind: Literal["Hook_failed"] = "Hook_failed"
    script: str
    reason: str
    stdout: str
    exit_code: str


class NotEnoughMemory(Arm):
    """So many bytes of memory are not free."""

    kind: Literal["Not_enough_memory"] = "Not_enough_memory"
    needed_bytes: Int64


class Cancelled(Arm):
    """The task was cancelled."""

    kind: Literal["Cancelled"] = "Cancelled"
    task: str


class StorageBackendError(Arm):
    """The storage failed, with a code of its own."""

    kind: Literal["Storage_backend_error"] = "Storage_backend_error"
    code: str
    args: tuple[str, ...]


class PcibackNotLoaded(Arm):
    """No driver for giving PCI devices to guests is loaded."""

    kind: Literal["PCIBack_not_loaded"] = "PCIBack_not_loaded"


class FailedToRunScript(Arm):
    """A script could not be run in the guest; with the reason."""

    kind: Literal["Failed_to_run_script"] = "Failed_to_run_script"
    message: str


class FailedToStartEmulator(Arm):
    """What emulates a VM's devices could not be started; with its words."""

    kind: Literal["Failed_to_start_emulator"] = "Failed_to_start_emulator"
    vm: str
    name: str
    message: str


class BallooningTimeoutBeforeMigration(Arm):
    """The guest did not reach its memory target in time to be migrated."""

    kind: Literal["Ballooning_timeout_before_migration"] = "Ballooning_timeout_before_migration"


class InternalError(Arm):
    """Anything else; the message says what was attempted, on what, and what to do."""

    kind: Literal["Internal_error"] = "Internal_error"
    message: str


class UnknownError(Arm):
    """An error that this version does not know."""

    kind: Literal["Unknown_error"] = "Unknown_error"


Error = Annotated[
    AlreadyExists
    | DoesNotExist
    | Unimplemented
    | DomainNotBuilt
    | InvalidVcpus
    | BadPowerState
    | FailedToAcknowledgeShutdownRequest
    | FailedToAcknowledgeSuspendRequest
    | FailedToShutdown
    | FailedToSuspend
    | DeviceIsConnected
    | DeviceNotConnected
    | DeviceDetachRejected
    | MediaNotEjectable
    | MediaPresent
    | MediaNotPresent
    | NoBootableDevice
    | BootloaderError
    | CannotFreeThisMuchMemory
    | VmsFailedToCooperate
    | IoError
    | FailedToContactRemoteService
    | HookFailed
    | NotEnoughMemory
    | Cancelled
    | StorageBackendError
    | PcibackNotLoaded
    | FailedToRunScript
    | FailedToStartEmulator
    | BallooningTimeoutBeforeMigration
    | InternalError
    | UnknownError,
    Field(discriminator="kind"),
    Variant("error", default=UnknownError()),
]
"""`Errors.error`."""


class ObserverInternalError(Arm):
    """As `InternalError`, of `Observer.*`."""

    kind: Literal["Internal_error"] = "Internal_error"
    message: str


class ObserverUnimplemented(Arm):
    """As `Unimplemented`, of `Observer.*`."""

    kind: Literal["Unimplemented"] = "Unimplemented"
    what: str


class ObserverUnknownError(Arm):
    """As `UnknownError`, of `Observer.*`."""

    kind: Literal["Unknown_error"] = "Unknown_error"


ObserverError = Annotated[
    ObserverInternalError | ObserverUnimplemented | ObserverUnknownError,
    Field(discriminator="kind"),
    Variant("error", default=ObserverUnknownError()),
]
"""`Observer.Errors.error`."""
