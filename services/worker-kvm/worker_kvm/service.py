"""A backend on KVM as a worker."""

from collections.abc import Sequence

from bus.ports import Bus
from bus.process import SettingsError
from engine.backend import Backend
from engine.hosted.records import RunDirectoryInUseError
from engine.hosted.storage.ports import Storage
from engine.store import open_store
from engine.worker import WorkerService, host_of

from worker_kvm.accelerator import Accelerator, QemuMissingError, choose_accelerator, find_qemu
from worker_kvm.qemu.backend import Qemu
from worker_kvm.qemu.hypervisor import QemuSettings
from worker_kvm.qemu.user import RightsError, find_user, launcher
from worker_kvm.settings import BackendName, Settings


def build(bus: Bus, settings: Settings) -> WorkerService:
    """The worker on a bus, not yet started.

    Raises:
        SettingsError: QEMU cannot be run, libvirt not reached, or another worker has the run directory.
    """
    settings.worker.state.mkdir(parents=True, exist_ok=True)
    try:
        backend = open_backend(settings, settings.storage.open(bus, takes_nbd=True))
    except RunDirectoryInUseError as error:
        raise SettingsError(str(error)) from error
    return WorkerService(
        bus, settings.worker, host_of(settings.worker, backend, open_store(settings.worker.metadata))
    )


def open_backend(settings: Settings, storage: Storage | None = None) -> Backend:
    """The backend that was chosen, with that storage.

    Raises:
        SettingsError: QEMU cannot be run, or libvirt is not reached.
        RunDirectoryInUseError: another worker serves these VMs.
    """
    match settings.backend:
        case BackendName.QEMU:
            return Qemu(qemu_settings(settings, storage))
        case BackendName.LIBVIRT:
            return _libvirt(settings, storage)


def _libvirt(settings: Settings, storage: Storage | None) -> Backend:
    try:
        # only here: who runs QEMU without libvirt need not have its library
        from worker_kvm.libvirt.opening import open_libvirt  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(f"libvirt's library cannot be used ({error}): install libvirt0") from error
    try:
        accelerator = _accelerator(settings, find_qemu())
    except QemuMissingError as error:
        raise SettingsError(str(error)) from error
    return open_libvirt(settings, accelerator, storage)


def qemu_settings(settings: Settings, storage: Storage | None = None) -> QemuSettings:
    """What the backend must know; the accelerator is probed where it was not chosen. Errors as of `build`."""
    try:
        qemu = find_qemu()
        user = None if settings.qemu_user is None else find_user(settings.qemu_user)
    except QemuMissingError as error:
        raise SettingsError(str(error)) from error
    except RightsError as error:
        raise SettingsError(f"XENOPS_KVM_USER: {error}") from error
    return QemuSettings(
        run=settings.run,
        qemu=qemu,
        accelerator=_accelerator(settings, qemu, launcher(user, 0)),
        bridged=settings.network == "bridge",
        namespace=settings.namespace,
        storage=storage,
        user=user,
        kept=settings.worker.state / "kept",
        migration_mib_s=settings.migration_mib_s,
    )


def _accelerator(settings: Settings, qemu: str, launched: Sequence[str] = ()) -> Accelerator:
    return choose_accelerator(qemu, launched) if settings.accelerator == "auto" else settings.accelerator
