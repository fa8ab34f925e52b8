"""FileStore: metadata as the original's tree of files, `VM/<id>/config`, `vbd.xvda`, `vif.0`, in its JSON.

Several processes may share a tree: every read checks that its file is still the one it knows, every write
replaces a file whole, and a VM is removed with all its devices by one rename of its directory. An id that
cannot be a file name cannot exist: reads answer as for any unknown one.
"""

import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from schema.fault import XenopsError, internal_error
from schema.ids import DeviceId, VmId, is_safe_name
from schema.objects.pci import Pci
from schema.objects.vbd import Vbd
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif
from schema.objects.vm import Vm
from schema.objects.vusb import Vusb

from engine.backend import Devices
from engine.store import refusals
from engine.store.cells import Cells, DamagedError, MakeCells, wire_encoding
from engine.store.original import adopt_pcis
from engine.store.port import DeviceT

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

_GRAVE = ".removed-"
"""How the directory of a removed VM is called until it is empty; no VM can be called so."""


class FileTable(Generic[DeviceT]):
    """All devices of one kind: files `<kind>.<device>` in their VM's directory."""

    def __init__(self, root: str, kind: str, cells: Cells[DeviceT]) -> None:
        self._root = root
        self._kind = kind
        self._prefix = f"{kind}."
        self._cells: Cells[DeviceT] = cells

    def read(self, id: DeviceId) -> DeviceT:  # noqa: A002  the interface's word
        """One device."""
        device = _read(self._cells, self._path(id)) if refusals.is_nameable(id) else None
        if device is None:
            raise refusals.unknown_device(self._kind, id)
        return device

    def exists(self, id: DeviceId) -> bool:  # noqa: A002  the interface's word
        """Whether there is such a device."""
        return refusals.is_nameable(id) and os.path.exists(self._path(id))  # noqa: PTH110  hot

    def write(self, device: DeviceT) -> None:
        """Add or replace it."""
        id_ = DeviceId(*device.id)
        if not is_safe_name(id_.vm) or not os.path.exists(f"{self._root}/{id_.vm}/config"):  # noqa: PTH110  hot
            raise refusals.unknown_vm_of_device(id_.vm)
        refusals.require_device_name(self._kind, id_)
        try:
            _write(self._cells, self._path(id_), device)
        except FileNotFoundError:  # the VM was removed meanwhile
            raise refusals.unknown_vm_of_device(id_.vm) from None

    def remove(self, id: DeviceId) -> None:  # noqa: A002  the interface's word
        """Forget it."""
        if not refusals.is_nameable(id) or not _remove(self._cells, self._path(id)):
            raise refusals.unknown_device(self._kind, id)

    def ids(self, vm: str) -> tuple[DeviceId, ...]:
        """The devices of a VM by name."""
        return self._ids(vm, _files_of(self._root, vm))

    def list(self, vm: str) -> tuple[DeviceT, ...]:
        """The devices of a VM by name."""
        return self.among(vm, _files_of(self._root, vm))

    def among(self, vm: str, files: Sequence[str]) -> tuple[DeviceT, ...]:
        """Those that are among the files of the VM's directory."""
        folder, prefix = f"{self._root}/{vm}", self._prefix
        found = [_read(self._cells, f"{folder}/{name}") for name in files if name.startswith(prefix)]
        return tuple([device for device in found if device is not None])

    def forget(self, vm: str, files: Sequence[str]) -> None:
        """The VM's directory, which held these files, is no more."""
        for name in files:
            self._cells.forget(f"{self._root}/{vm}/{name}")

    def _ids(self, vm: str, files: Sequence[str]) -> tuple[DeviceId, ...]:
        prefix = self._prefix
        return tuple(DeviceId(vm, name.removeprefix(prefix)) for name in files if name.startswith(prefix))

    def _path(self, id_: DeviceId) -> str:
        return f"{self._root}/{id_[0]}/{self._kind}.{id_[1]}"


class FileStore:
    """A `Store` in a directory."""

    reads_wait = False

    def __init__(self, root: Path, make_cells: MakeCells = Cells) -> None:
        self._root = str(root / "VM")
        with _explained(f"make the metadata directory {self._root}"):
            os.makedirs(self._root, mode=0o700, exist_ok=True)  # noqa: PTH103  a string everywhere here
        for name in _names_in(self._root):
            if name.startswith(_GRAVE):  # its remover died
                shutil.rmtree(f"{self._root}/{name}", ignore_errors=True)
        with _explained(f"take up the PCI devices in {root / 'PCI'}"):
            adopt_pcis(root)
        self._vms: Cells[Vm] = make_cells(wire_encoding(Vm))
        self.vbds = FileTable(self._root, "vbd", make_cells(wire_encoding(Vbd)))
        self.vifs = FileTable(self._root, "vif", make_cells(wire_encoding(Vif)))
        self.pcis = FileTable(self._root, "pci", make_cells(wire_encoding(Pci)))
        self.vgpus = FileTable(self._root, "vgpu", make_cells(wire_encoding(Vgpu)))
        self.vusbs = FileTable(self._root, "vusb", make_cells(wire_encoding(Vusb)))

    def ids(self) -> tuple[VmId, ...]:
        """All VMs, by id."""
        return tuple(VmId(name) for name in sorted(_names_in(self._root)) if self.exists(name))

    def list(self) -> tuple[Vm, ...]:
        """All VMs that can be read."""
        return tuple(vm for vm in map(self._read_or_skip, self.ids()) if vm is not None)

    def exists(self, vm: str) -> bool:
        """Whether there is such a VM."""
        return is_safe_name(vm) and os.path.exists(self._config(vm))  # noqa: PTH110  hot

    def read(self, vm: str) -> Vm:
        """One VM."""
        found = _read(self._vms, self._config(vm)) if is_safe_name(vm) else None
        if found is None:
            raise refusals.unknown_vm(vm)
        return found

    def write(self, vm: Vm) -> None:
        """Add or replace a VM."""
        refusals.require_vm_name(vm.id)
        try:
            self._make_directory(vm.id)
            _write(self._vms, self._config(vm.id), vm)
        except FileNotFoundError as error:
            raise internal_error(f"VM {vm.id} was removed while it was written; write it again") from error

    def _make_directory(self, vm: str) -> None:
        """Make a VM's directory, or find it; FileNotFoundError when a remover takes it meanwhile."""
        path = f"{self._root}/{vm}"
        with _explained(f"make the directory of VM {vm}"):
            try:
                os.makedirs(path, mode=0o700, exist_ok=True)  # noqa: PTH103  hot
            except FileExistsError as error:  # it was there, and was gone before it could be looked at
                if os.path.lexists(path):
                    raise
                raise FileNotFoundError(path) from error

    def remove(self, vm: str) -> None:
        """Forget a VM with all its devices."""
        if not self.exists(vm):
            raise refusals.unknown_vm(vm)
        grave = f"{self._root}/{_GRAVE}{vm}-{os.getpid()}-{threading.get_ident()}"
        with _explained(f"remove VM {vm}"):
            try:
                os.rename(f"{self._root}/{vm}", grave)  # noqa: PTH104  a string everywhere here
            except FileNotFoundError:  # somebody else was faster
                raise refusals.unknown_vm(vm) from None
        self._forget(vm, _names_in(grave))
        shutil.rmtree(grave, ignore_errors=True)

    def _forget(self, vm: str, files: Sequence[str]) -> None:
        """What is in memory of a VM that is no more, whose directory held these files."""
        self._vms.forget(self._config(vm))
        for table in (self.vbds, self.vifs, self.pcis, self.vgpus, self.vusbs):
            table.forget(vm, files)

    def rename(self, vm: str, name: str) -> None:
        """Give a VM and its devices another id; one that was cut short is gone on with, either way."""
        old, devices = self.read(vm), self.devices(vm)
        new = old.model_copy(update={"id": name})
        if self.exists(name) and self.read(name) != new:
            raise refusals.vm_exists(name)
        self.write(new)
        _rewrite(self.vbds, devices.vbds, name)
        _rewrite(self.vifs, devices.vifs, name)
        _rewrite(self.pcis, devices.pcis, name)
        _rewrite(self.vgpus, devices.vgpus, name)
        _rewrite(self.vusbs, devices.vusbs, name)
        self.remove(vm)

    def devices(self, vm: str) -> Devices:
        """All devices of a VM."""
        files = _files_of(self._root, vm)
        return Devices(
            vbds=self.vbds.among(vm, files),
            vifs=self.vifs.among(vm, files),
            pcis=self.pcis.among(vm, files),
            vgpus=self.vgpus.among(vm, files),
            vusbs=self.vusbs.among(vm, files),
        )

    def _config(self, vm: str) -> str:
        return f"{self._root}/{vm}/config"

    def _read_or_skip(self, vm: VmId) -> Vm | None:
        try:
            return _read(self._vms, self._config(vm))
        except XenopsError:
            _LOG.warning("VM %s is left out of the list: its config is damaged", vm, exc_info=True)
            return None


def _rewrite(table: FileTable[DeviceT], devices: tuple[DeviceT, ...], vm: str) -> None:
    for device in devices:
        table.write(device.model_copy(update={"id": DeviceId(vm, device.id[1])}))


def _files_of(root: str, vm: str) -> list[str]:
    """What a VM's directory holds, by name."""
    return sorted(_names_in(f"{root}/{vm}")) if is_safe_name(vm) else []


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  hot
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(cells: Cells[T], path: str) -> T | None:
    try:
        return cells.read(path)
    except DamagedError as error:
        raise refusals.damaged(path, error) from error
    except OSError as error:
        raise internal_error(f"Cannot read the metadata in {path}: {error.strerror}") from error


def _write(cells: Cells[T], path: str, value: T) -> None:
    with _explained(f"write the metadata in {path}"):
        cells.write(path, value)


def _remove(cells: Cells[T], path: str) -> bool:
    with _explained(f"remove the metadata in {path}"):
        return cells.remove(path)


@contextlib.contextmanager
def _explained(attempt: str) -> Iterator[None]:
    """Turn what the system refuses into a sentence; a missing directory is the caller's to judge."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise internal_error(
            f"Cannot {attempt}: {error.strerror}; see to the disk and its rights, then try again"
        ) from error
