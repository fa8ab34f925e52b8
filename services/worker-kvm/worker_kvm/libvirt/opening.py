"""Opening: the libvirt backend from the settings of a worker."""

from bus.process import SettingsError
from engine.hosted.storage.ports import Storage
from virt.values import VirtError

from worker_kvm.accelerator import Accelerator
from worker_kvm.libvirt.backend import Libvirt
from worker_kvm.libvirt.hypervisor import LibvirtSettings
from worker_kvm.settings import Settings


def open_libvirt(settings: Settings, accelerator: Accelerator, storage: Storage | None = None) -> Libvirt:
    """Reach libvirt. Errors: `SettingsError`, `RunDirectoryInUseError`."""
    try:
        return Libvirt(
            LibvirtSettings(
                run=settings.run,
                uri=settings.libvirt_uri,
                logs=settings.libvirt_logs,
                instance=settings.instances[0],
                accelerator=accelerator,
                bridged=settings.network == "bridge",
                namespace=settings.namespace,
                migration_mib_s=settings.migration_mib_s,
                storage=storage,
            )
        )
    except VirtError as error:
        raise SettingsError(f"XENOPS_LIBVIRT_URI is {settings.libvirt_uri}: {error}") from error
