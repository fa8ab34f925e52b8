"""A backend on Xen as a worker."""

from bus.ports import Bus
from bus.process import SettingsError
from engine.backend import Backend
from engine.hosted.records import RunDirectoryInUseError
from engine.hosted.storage.ports import Storage
from engine.store import open_store
from engine.worker import WorkerService, host_of

from worker_xen.binding import BindingError
from worker_xen.classic.backend import ClassicSettings, open_classic
from worker_xen.dom0 import NoDom0Error, refuse_elsewhere
from worker_xen.settings import BackendName, Settings
from worker_xen.xenlight.backend import Xenlight
from worker_xen.xenlight.hypervisor import XenlightSettings
from worker_xen.xenlight.values import LibxlError


def build(bus: Bus, settings: Settings) -> WorkerService:
    """The worker on a bus, not yet started.

    Raises:
        SettingsError: this is no dom0, Xen's libraries or libvirt cannot be used, or another worker has them.
    """
    try:
        refuse_elsewhere()
        settings.worker.state.mkdir(parents=True, exist_ok=True)
        backend = open_backend(settings, settings.storage.open(bus, takes_nbd=False))
    except (NoDom0Error, BindingError, LibxlError, RunDirectoryInUseError) as error:
        raise SettingsError(str(error)) from error
    return WorkerService(
        bus, settings.worker, host_of(settings.worker, backend, open_store(settings.worker.metadata))
    )


def open_backend(settings: Settings, storage: Storage | None = None) -> Backend:
    """The backend that was chosen, with that storage.

    Raises:
        SettingsError: libvirt is not reached.
        BindingError: Xen's libraries cannot be used.
        LibxlError: the hypervisor does not answer.
        RunDirectoryInUseError: another worker serves these VMs.
    """
    match settings.backend:
        case BackendName.CLASSIC:
            return open_classic(ClassicSettings(settings.run, settings.bindings, settings.users, storage))
        case BackendName.XENLIGHT:
            return Xenlight(XenlightSettings(settings.run, settings.bindings, storage))
        case BackendName.LIBVIRT:
            return _libvirt(settings, storage)


def _libvirt(settings: Settings, storage: Storage | None) -> Backend:
    try:
        # only here: who drives Xen without libvirt need not have its library
        from worker_xen.libvirt.opening import open_libvirt  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(f"libvirt's library cannot be used ({error}): install libvirt0") from error
    return open_libvirt(settings, storage)
