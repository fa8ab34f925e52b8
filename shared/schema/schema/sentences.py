"""Sentences: every error of the interface in words that name the thing and the remedy, wherever shown."""

import re
from typing import NamedTuple

from schema.objects.errors import AlreadyExists, DoesNotExist, Error, InternalError

_SENTENCES = {
    "Already_exists": "the {klass} {id} exists already: remove it first, or choose another name",
    "Does_not_exist": "there is no {klass} {id}",
    "Unimplemented": "{what} is not implemented by this instance's hypervisor",
    "Domain_not_built": "the VM has no built domain: start it first",
    "Invalid_vcpus": "the VM can have 1 to {count} CPUs: more need a higher maximum, and a start",
    "Bad_power_state": "the VM is {found}, but must be {expected} for this",
    "Failed_to_acknowledge_shutdown_request": (
        "the guest did not react when asked to shut down: ask again, or shut down without a timeout, by force"
    ),
    "Failed_to_acknowledge_suspend_request": (
        "the guest did not react when asked to suspend: are its drivers running?"
    ),
    "Failed_to_shutdown": (
        "the VM {vm} did not shut down within {timeout_s:g} s: allow more, or none, which is by force"
    ),
    "Failed_to_suspend": "the VM {vm} did not suspend within {timeout_s:g} s: try again when it is less busy",
    "Device_is_connected": "the device is plugged: unplug it first",
    "Device_not_connected": "the device is not plugged: plug it first",
    "Device_detach_rejected": "the guest keeps {klass} {id} ({reason}): release it there, or unplug by force",
    "Media_not_ejectable": "the medium cannot be ejected: the device is no CD drive, or is locked",
    "Media_present": "there is a medium in the drive already: eject it first",
    "Media_not_present": "there is no medium in the drive: insert one first",
    "No_bootable_device": "the VM has no device to boot from: add a bootable disk, or a kernel",
    "Bootloader_error": "the bootloader {bootloader} failed: {message}",
    "Cannot_free_this_much_memory": (
        "{needed_kib} KiB of memory are needed, {free_kib} KiB can be freed: shut down or shrink a VM"
    ),
    "Vms_failed_to_cooperate": "these VMs gave no memory back in time: {vms}; try again, or shut one down",
    "IO_error": "reading or writing failed: the worker's log says what",
    "Failed_to_contact_remote_service": "the service {service} could not be reached: is it running?",
    "Hook_failed": "the hook {script} ({reason}) ended with {exit_code} and forbade it, saying: {stdout}",
    "Not_enough_memory": "{needed_bytes} bytes of memory are not free: shut down a VM, or shrink this one",
    "Cancelled": "the task {task} was cancelled",
    "Storage_backend_error": "the storage failed with {code}: {args}",
    "PCIBack_not_loaded": "no driver for giving PCI devices away is loaded: load pciback or vfio-pci",
    "Failed_to_run_script": "the script could not be run in the guest: {message}",
    "Failed_to_start_emulator": "{name} could not be started for the VM {vm}: {message}",
    "Ballooning_timeout_before_migration": (
        "the guest did not reach its memory target in time before migration: try again when it is less busy"
    ),
    "Internal_error": "{message}",
    "Unknown_error": "an error that this version does not know: is it older than the service that met it?",
}
"""By the name of the error; a field in braces is the error's own."""


_DEVICE = re.compile(r"(?P<vm>[^/]+)/(?P<klass>vbd|vif|pci|vgpu|vusb)\.(?P<name>.+)", re.DOTALL)
"""How an id names the file in which a device of a VM is kept."""


_PLACED = ("vbd", "vif", "pci")
"""Devices of which two cannot have the same place; the id in the error is that place."""


class MissingDevice(NamedTuple):
    """A device that a VM does not have."""

    vm: str
    klass: str
    name: str


def missing_device(error: Error) -> MissingDevice | None:
    """Which device an error says that there is none of; its class names the VM's, as the original's does."""
    found = _DEVICE.fullmatch(error.id) if isinstance(error, DoesNotExist) else None
    return None if found is None else MissingDevice(found["vm"], found["klass"].upper(), found["name"])


def sentence(error: Error) -> str:
    """An error in words; an internal one has its own."""
    if isinstance(error, InternalError):
        return error.message
    missing = missing_device(error)
    if missing is not None:
        return f"the VM {missing.vm} has no {missing.klass} {missing.name}"
    if isinstance(error, AlreadyExists) and error.klass in _PLACED:
        what = error.klass.upper()
        return (
            f"another {what} of the VM has the place {error.id}: unplug that, or give this one another name"
        )
    fields = {name: _words(value) for name, value in error if name != "kind"}
    return _SENTENCES[error.kind].format(**fields)


def _words(value: object) -> object:
    """A field as it stands in a sentence; a VM's configuration file names the VM."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, str) and value.endswith("/config"):
        return value.removeprefix("VM/").removesuffix("/config")
    return value
