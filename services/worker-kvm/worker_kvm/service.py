"""The QEMU backend as a worker."""

from bus.ports import Bus
from bus.process import SettingsError
from engine.records import RunDirectoryInUseError
from engine.store import open_store
from engine.worker import WorkerService, host_of

from worker_kvm.accelerator import Accelerator, QemuMissingError, choose_accelerator, find_qemu
from worker_kvm.qemu.backend import Qemu
from worker_kvm.qemu.hypervisor import QemuSettings
from worker_kvm.settings import Settings


def build(bus: Bus, settings: Settings) -> WorkerService:
    """The worker on a bus, not yet started.

    Raises:
        SettingsError: QEMU cannot be run, or another worker has the run directory.
    """
    settings.worker.state.mkdir(parents=True, exist_ok=True)
    try:
        backend = Qemu(qemu_settings(settings))
    except RunDirectoryInUseError as error:
        raise SettingsError(str(error)) from error
    return WorkerService(
        bus, settings.worker, host_of(settings.worker, backend, open_store(settings.worker.metadata))
    )


def qemu_settings(settings: Settings) -> QemuSettings:
    """What the backend must know; the accelerator is probed where it was not chosen. Errors as of `build`."""
    try:
        qemu = find_qemu()
    except QemuMissingError as error:
        raise SettingsError(str(error)) from error
    return QemuSettings(
        run=settings.run,
        qemu=qemu,
        accelerator=_accelerator(settings, qemu),
        bridged=settings.network == "bridge",
        namespace=settings.namespace,
    )


def _accelerator(settings: Settings, qemu: str) -> Accelerator:
    return choose_accelerator(qemu) if settings.accelerator == "auto" else settings.accelerator
