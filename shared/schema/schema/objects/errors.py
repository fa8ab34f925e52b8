"""Errors: the closed set of failures that the interface knows."""

from typing import Annotated, Literal

from pydantic import Field

from schema.objects.vm import PowerState
from schema.wire.types import Arm, Int64, Variant


class AlreadyExists(Arm):
    """`Errors.error`, arm `Already_exists`."""

    kind: Literal["Already_exists"] = "Already_exists"
    klass: str
    id: str


class DoesNotExist(Arm):
    """`Errors.error`, arm `Does_not_exist`."""

    kind: Literal["Does_not_exist"] = "Does_not_exist"
    klass: str
    id: str


class Unimplemented(Arm):
    """`Errors.error`, arm `Unimplemented`."""

    kind: Literal["Unimplemented"] = "Unimplemented"
    what: str


class DomainNotBuilt(Arm):
    """`Errors.error`, arm `Domain_not_built`."""

    kind: Literal["Domain_not_built"] = "Domain_not_built"


class InvalidVcpus(Arm):
    """`Errors.error`, arm `Invalid_vcpus`."""

    kind: Literal["Invalid_vcpus"] = "Invalid_vcpus"
    count: int


class BadPowerState(Arm):
    """`Errors.error`, arm `Bad_power_state`."""

    kind: Literal["Bad_power_state"] = "Bad_power_state"
    found: PowerState
    expected: PowerState


class FailedToAcknowledgeShutdownRequest(Arm):
    """`Errors.error`, arm `Failed_to_acknowledge_shutdown_request`."""

    kind: Literal["Failed_to_acknowledge_shutdown_request"] = "Failed_to_acknowledge_shutdown_request"


class FailedToAcknowledgeSuspendRequest(Arm):
    """`Errors.error`, arm `Failed_to_acknowledge_suspend_request`."""

    kind: Literal["Failed_to_acknowledge_suspend_request"] = "Failed_to_acknowledge_suspend_request"


class FailedToShutdown(Arm):
    """`Errors.error`, arm `Failed_to_shutdown`."""

    kind: Literal["Failed_to_shutdown"] = "Failed_to_shutdown"
    vm: str
    timeout_s: float


class FailedToSuspend(Arm):
    """`Errors.error`, arm `Failed_to_suspend`."""

    kind: Literal["Failed_to_suspend"] = "Failed_to_suspend"
    vm: str
    timeout_s: float


class DeviceIsConnected(Arm):
    """`Errors.error`, arm `Device_is_connected`."""

    kind: Literal["Device_is_connected"] = "Device_is_connected"


class DeviceNotConnected(Arm):
    """`Errors.error`, arm `Device_not_connected`."""

    kind: Literal["Device_not_connected"] = "Device_not_connected"


class DeviceDetachRejected(Arm):
    """`Errors.error`, arm `Device_detach_rejected`."""

    kind: Literal["Device_detach_rejected"] = "Device_detach_rejected"
    klass: str
    id: str
    reason: str


class MediaNotEjectable(Arm):
    """`Errors.error`, arm `Media_not_ejectable`."""

    kind: Literal["Media_not_ejectable"] = "Media_not_ejectable"


class MediaPresent(Arm):
    """`Errors.error`, arm `Media_present`."""

    kind: Literal["Media_present"] = "Media_present"


class MediaNotPresent(Arm):
    """`Errors.error`, arm `Media_not_present`."""

    kind: Literal["Media_not_present"] = "Media_not_present"


class NoBootableDevice(Arm):
    """`Errors.error`, arm `No_bootable_device`."""

    kind: Literal["No_bootable_device"] = "No_bootable_device"


class BootloaderError(Arm):
    """`Errors.error`, arm `Bootloader_error`."""

    kind: Literal["Bootloader_error"] = "Bootloader_error"
    bootloader: str
    message: str


class CannotFreeThisMuchMemory(Arm):
    """`Errors.error`, arm `Cannot_free_this_much_memory`."""

    kind: Literal["Cannot_free_this_much_memory"] = "Cannot_free_this_much_memory"
    needed_kib: Int64
    free_kib: Int64


class VmsFailedToCooperate(Arm):
    """`Errors.error`, arm `Vms_failed_to_cooperate`."""

    kind: Literal["Vms_failed_to_cooperate"] = "Vms_failed_to_cooperate"
    vms: tuple[str, ...]


class IoError(Arm):
    """`Errors.error`, arm `IO_error`."""

    kind: Literal["IO_error"] = "IO_error"


class FailedToContactRemoteService(Arm):
    """`Errors.error`, arm `Failed_to_contact_remote_service`."""

    kind: Literal["Failed_to_contact_remote_service"] = "Failed_to_contact_remote_service"
    service: str


class HookFailed(Arm):
    """`Errors.error`, arm `Hook_failed`."""

    kind: Literal["Hook_failed"] = "Hook_failed"
    script: str
    reason: str
    stdout: str
    exit_code: str


class NotEnoughMemory(Arm):
    """`Errors.error`, arm `Not_enough_memory`."""

    kind: Literal["Not_enough_memory"] = "Not_enough_memory"
    needed_bytes: Int64


class Cancelled(Arm):
    """`Errors.error`, arm `Cancelled`."""

    kind: Literal["Cancelled"] = "Cancelled"
    task: str


class StorageBackendError(Arm):
    """`Errors.error`, arm `Storage_backend_error`."""

    kind: Literal["Storage_backend_error"] = "Storage_backend_error"
    code: str
    args: tuple[str, ...]


class PcibackNotLoaded(Arm):
    """`Errors.error`, arm `PCIBack_not_loaded`."""

    kind: Literal["PCIBack_not_loaded"] = "PCIBack_not_loaded"


class FailedToRunScript(Arm):
    """`Errors.error`, arm `Failed_to_run_script`."""

    kind: Literal["Failed_to_run_script"] = "Failed_to_run_script"
    message: str


class FailedToStartEmulator(Arm):
    """`Errors.error`, arm `Failed_to_start_emulator`."""

    kind: Literal["Failed_to_start_emulator"] = "Failed_to_start_emulator"
    vm: str
    name: str
    message: str


class BallooningTimeoutBeforeMigration(Arm):
    """`Errors.error`, arm `Ballooning_timeout_before_migration`."""

    kind: Literal["Ballooning_timeout_before_migration"] = "Ballooning_timeout_before_migration"


class InternalError(Arm):
    """`Errors.error`, arm `Internal_error`."""

    kind: Literal["Internal_error"] = "Internal_error"
    message: str


class UnknownError(Arm):
    """`Errors.error`, arm `Unknown_error`."""

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
    """`Observer.Errors.error`, arm `Internal_error`."""

    kind: Literal["Internal_error"] = "Internal_error"
    message: str


class ObserverUnimplemented(Arm):
    """`Observer.Errors.error`, arm `Unimplemented`."""

    kind: Literal["Unimplemented"] = "Unimplemented"
    what: str


class ObserverUnknownError(Arm):
    """`Observer.Errors.error`, arm `Unknown_error`."""

    kind: Literal["Unknown_error"] = "Unknown_error"


ObserverError = Annotated[
    ObserverInternalError | ObserverUnimplemented | ObserverUnknownError,
    Field(discriminator="kind"),
    Variant("error", default=ObserverUnknownError()),
]
"""`Observer.Errors.error`."""
