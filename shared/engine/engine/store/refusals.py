"""Refusals: what a store answers to what it cannot do; in the same words wherever it keeps things."""

from schema.fault import XenopsError, internal_error
from schema.ids import DeviceId, is_safe_name
from schema.objects.errors import AlreadyExists, DoesNotExist

from engine.store.names import is_device_name


def unknown_vm(vm: str) -> XenopsError:
    """No such VM, as the original's table says it."""
    return XenopsError(DoesNotExist(klass="VM", id=f"{vm}/config"))


def unknown_vm_of_device(vm: str) -> XenopsError:
    """No such VM, as the original says it to whoever adds a device."""
    return XenopsError(DoesNotExist(klass="VM", id=vm))


def unknown_device(kind: str, id_: DeviceId) -> XenopsError:
    """No such device, as the original's table of that kind says it."""
    return XenopsError(DoesNotExist(klass="PCI" if kind == "pci" else "VM", id=f"{id_[0]}/{kind}.{id_[1]}"))


def vm_exists(vm: str) -> XenopsError:
    """A VM would take another's id."""
    return XenopsError(AlreadyExists(klass="VM", id=f"VM/{vm}/config"))


def require_vm_name(vm: str) -> None:
    """Refuse an id that is unfit for a VM."""
    if not is_safe_name(vm):
        raise internal_error(
            f"Cannot store a VM with the id {vm!r}: ids become file names and routing keys; use up to "
            "64 letters, digits, '.', '_' and '-', the first one a letter or digit, without '..'"
        )


def require_device_name(kind: str, id_: DeviceId) -> None:
    """Refuse a name that is unfit for a device."""
    if not is_device_name(id_.device):
        raise internal_error(
            f"Cannot store the {kind} {id_.device!r} of VM {id_.vm}: the name is unfit for a file; "
            "use up to 64 letters, digits, '.', '_', ':' and '-', the first one a letter or digit"
        )


def is_nameable(id_: DeviceId) -> bool:
    """Whether there can be such a device."""
    return is_safe_name(id_[0]) and is_device_name(id_[1])


def damaged(place: str, error: Exception) -> XenopsError:
    """What is kept there is no such object."""
    return internal_error(f"The metadata in {place} is damaged ({error}): remove the object, or add it anew")
