"""Translated: failures of xenops as clients of XenAPI know them.

Facts from xapi_xenops.ml, transform_xenops_exn.
"""

from collections.abc import Callable

from schema.objects import errors
from schema.objects.errors import Error

from xenops.sentences import sentence
from xenops.toolstack.failure import XenApiFailure

RefOf = Callable[[str], str]
"""The reference of the VM with a UUID."""

_OF_THE_VM = {
    "Failed_to_acknowledge_shutdown_request": "VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT",
    "Failed_to_acknowledge_suspend_request": "VM_FAILED_SUSPEND_ACKNOWLEDGMENT",
    "Ballooning_timeout_before_migration": "BALLOONING_TIMEOUT_BEFORE_MIGRATION",
}
"""Errors that say no more than which VM."""


def failure_of(error: Error, vm: str, ref_of: RefOf) -> XenApiFailure:  # noqa: C901, PLR0912  one arm for each error
    """An error of the interface, met in an operation on the VM `vm`, a reference, in XenAPI's words."""
    match error:
        case errors.FailedToContactRemoteService():
            return XenApiFailure("VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED")
        case _ if error.kind in _OF_THE_VM:
            return XenApiFailure(_OF_THE_VM[error.kind], vm)
        case errors.Unimplemented(what=what):
            return XenApiFailure("NOT_IMPLEMENTED", what)
        case errors.BadPowerState(found=found, expected=expected):
            return XenApiFailure("VM_BAD_POWER_STATE", vm, str(expected), str(found))
        case errors.FailedToShutdown(vm=uuid, timeout_s=timeout_s):
            return XenApiFailure("VM_SHUTDOWN_TIMEOUT", ref_of(uuid), str(timeout_s))
        case errors.FailedToSuspend(vm=uuid, timeout_s=timeout_s):
            return XenApiFailure("VM_SUSPEND_TIMEOUT", ref_of(uuid), str(timeout_s))
        case errors.DeviceDetachRejected(klass=klass, id=device, reason=reason):
            return XenApiFailure("DEVICE_DETACH_REJECTED", klass, device, reason)
        case errors.BootloaderError(bootloader=uuid, message=message):
            return XenApiFailure("BOOTLOADER_FAILED", ref_of(uuid), message)
        case errors.CannotFreeThisMuchMemory(needed_kib=needed, free_kib=free):
            return XenApiFailure("HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(free))
        case errors.VmsFailedToCooperate(vms=vms):
            return XenApiFailure("VMS_FAILED_TO_COOPERATE", *map(ref_of, vms))
        case errors.IoError():
            return XenApiFailure("VDI_IO_ERROR", "I/O error saving VM suspend image")
        case errors.HookFailed(script=script, reason=reason, stdout=stdout, exit_code=code):
            return XenApiFailure("XAPI_HOOK_FAILED", script, reason, stdout, code)
        case errors.Cancelled(task=task):
            return XenApiFailure("TASK_CANCELLED", task)
        case errors.StorageBackendError(code=code, args=args):
            return XenApiFailure(code, *args)
        case errors.FailedToRunScript(message=message):
            return XenApiFailure("XENAPI_PLUGIN_FAILURE", message)
        case errors.FailedToStartEmulator(vm=uuid, name=name, message=message):
            return XenApiFailure("FAILED_TO_START_EMULATOR", ref_of(uuid), name, message)
        case _:
            return XenApiFailure("INTERNAL_ERROR", _words(error))


def _words(error: Error) -> str:
    match error:
        case errors.InternalError(message=message):
            return f"xenopsd internal error: {message}"
        case errors.DoesNotExist(klass=klass, id=missing):
            return f"there is no {klass} {missing} in xenops"
        case _:
            return sentence(error)
