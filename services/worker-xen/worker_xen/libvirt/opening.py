"""Opening: the libvirt backend from the settings of a worker."""

from bus.process import SettingsError
from engine.hosted.storage.ports import Storage
from virt.values import VirtError

from worker_xen.libvirt.backend import Libvirt
from worker_xen.libvirt.hypervisor import Hypervisor, LibvirtSettings
from worker_xen.settings import Settings


def open_libvirt(settings: Settings, storage: Storage | None = None) -> Libvirt:
    """Reach libvirt. Errors: `SettingsError`, `RunDirectoryInUseError`."""
    try:
        told = LibvirtSettings(settings.run, settings.libvirt_uri, settings.instances[0], storage)
        return Libvirt(Hypervisor(told))
    except VirtError as error:
        raise SettingsError(f"XENOPS_LIBVIRT_URI is {settings.libvirt_uri}: {error}") from error
