"""Opening: the libvirt backend from the settings of a worker."""

from bus.process import SettingsError
from virt.values import VirtError

from worker_xen.libvirt.backend import Libvirt
from worker_xen.libvirt.hypervisor import Hypervisor, LibvirtSettings
from worker_xen.settings import Settings


def open_libvirt(settings: Settings) -> Libvirt:
    """Reach libvirt. Errors: `SettingsError`, `RunDirectoryInUseError`."""
    try:
        return Libvirt(Hypervisor(LibvirtSettings(settings.run, settings.libvirt_uri, settings.instances[0])))
    except VirtError as error:
        raise SettingsError(f"XENOPS_LIBVIRT_URI is {settings.libvirt_uri}: {error}") from error
