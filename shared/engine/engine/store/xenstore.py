"""XenstoreStore: the same tree as in files, `VM/<id>/config`, `vbd-xvda`, `vif-0`, in a xenstore's nodes.

A change is a transaction, and so done in one piece: a VM with all its devices is renamed or removed at once,
and no device is added to a VM that is being removed. Every read asks the daemon, and spares only the decoding
of what it knows: several processes, and people with `xenstore-write`, may share a tree. The daemon holds it
in its memory: it is gone once the host, or the daemon, is started anew.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from schema.fault import internal_error
from schema.ids import DeviceId, VmId, is_safe_name
from schema.objects.pci import Pci
from schema.objects.vbd import Vbd
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif
from schema.objects.vm import Vm
from schema.objects.vusb import Vusb

from engine.backend import Devices
from engine.store import refusals
from engine.store.cells import DamagedError, wire_encoding
from engine.store.door import Reading, Transaction, Xenstore, XenstoreError
from engine.store.nodes import bucket_of, fits, node_name, plain_name
from engine.store.port import DeviceT
from engine.store.values import Values

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


class _Tree:
    """Where things are in the xenstore."""

    def __init__(self, door: Xenstore, root: str) -> None:
        self.door = door
        self.root = f"{root}/VM"

    def bucket(self, vm: str) -> str:
        """The directory that a VM is in."""
        return f"{self.root}/{bucket_of(vm)}"

    def vm(self, vm: str) -> str:
        """A VM's own."""
        return f"{self.bucket(vm)}/{node_name(vm)}"

    def config(self, vm: str) -> str:
        """Its configuration."""
        return f"{self.vm(vm)}/config"

    def names(self, vm: str, nodes: Reading | None = None) -> list[str]:
        """The names of all that is a VM's, in order."""
        if not is_safe_name(vm):
            return []
        with _explained(f"list the metadata in {self.vm(vm)}"):
            return sorted((nodes or self.door).names(self.vm(vm)) or ())


class XenstoreTable(Generic[DeviceT]):
    """All devices of one kind: nodes `<kind>-<device>` below their VM's."""

    def __init__(self, tree: _Tree, kind: str, type_: type[DeviceT]) -> None:
        self._tree = tree
        self._kind = kind
        self._values: Values[DeviceT] = Values(wire_encoding(type_))

    def read(self, id: DeviceId) -> DeviceT:  # noqa: A002  the interface's word
        """One device."""
        device = self._find(id, self._tree.door) if refusals.is_nameable(id) else None
        if device is None:
            raise refusals.unknown_device(self._kind, id)
        return device

    def exists(self, id: DeviceId) -> bool:  # noqa: A002  the interface's word
        """Whether there is such a device."""
        return refusals.is_nameable(id) and _is_there(self._tree.door, self._path(id))

    def write(self, device: DeviceT) -> None:
        """Add or replace it."""
        id_ = DeviceId(*device.id)
        if not refusals.is_nameable(id_):
            if not is_safe_name(id_.vm) or not _is_there(self._tree.door, self._tree.config(id_.vm)):
                raise refusals.unknown_vm_of_device(id_.vm)
            refusals.require_device_name(self._kind, id_)
        path = self._path(id_)
        with _explained(f"write the metadata in {path}"):
            if self._values.holds(self._tree.door, path, device):
                return
            head = self._tree.door.within(lambda nodes: self._write(nodes, id_, device))
        self._values.remember(path, head, device)

    def remove(self, id: DeviceId) -> None:  # noqa: A002  the interface's word
        """Forget it."""
        if not refusals.is_nameable(id):
            raise refusals.unknown_device(self._kind, id)
        path = self._path(id)
        with _explained(f"remove the metadata in {path}"):
            was_there = self._tree.door.within(lambda nodes: _remove(nodes, path, path))
        if not was_there:
            raise refusals.unknown_device(self._kind, id)

    def ids(self, vm: str) -> tuple[DeviceId, ...]:
        """The devices of a VM by name."""
        return self._ids(vm, self._tree.names(vm))

    def list(self, vm: str) -> tuple[DeviceT, ...]:
        """The devices of a VM by name."""
        return self.among(vm, self._tree.names(vm), self._tree.door)

    def among(self, vm: str, names: Sequence[str], nodes: Reading) -> tuple[DeviceT, ...]:
        """Those that are among the names of all that is the VM's."""
        found = (self._find(id_, nodes) for id_ in self._ids(vm, names))
        return tuple(device for device in found if device is not None)

    def rewrite(self, nodes: Transaction, devices: Sequence[DeviceT], vm: str) -> None:
        """Give devices to a VM that has none yet."""
        for device in devices:
            id_ = DeviceId(vm, device.id[1])
            self._values.put(nodes, self._path(id_), device.model_copy(update={"id": id_}), None)

    def _write(self, nodes: Transaction, id_: DeviceId, device: DeviceT) -> bytes:
        """Write it if its VM is still there: having been looked at, it is part of the transaction."""
        if nodes.read(self._tree.config(id_.vm)) is None:
            raise refusals.unknown_vm_of_device(id_.vm)
        path = self._path(id_)
        before = nodes.read(path)
        if before is None:
            _require_room(nodes, self._tree.vm(id_.vm), path, f"devices of VM {id_.vm}")
        return self._values.put(nodes, path, device, before)

    def _find(self, id_: DeviceId, nodes: Reading) -> DeviceT | None:
        return _read(self._values, nodes, self._path(id_))

    def _ids(self, vm: str, names: Sequence[str]) -> tuple[DeviceId, ...]:
        prefix = f"{self._kind}-"
        found = (plain_name(name.removeprefix(prefix)) for name in names if name.startswith(prefix))
        return tuple(DeviceId(vm, device) for device in sorted(found))

    def _path(self, id_: DeviceId) -> str:
        return f"{self._tree.vm(id_[0])}/{self._kind}-{node_name(id_[1])}"


class XenstoreStore:
    """A `Store` below one node of a xenstore.

    Raises:
        XenopsError: the daemon does not answer.
    """

    reads_wait = True

    def __init__(self, door: Xenstore, root: str) -> None:
        self._tree = _Tree(door, root)
        with _explained(f"read the metadata in {root}"):
            door.names(root)
        self._vms: Values[Vm] = Values(wire_encoding(Vm))
        self.vbds = XenstoreTable(self._tree, "vbd", Vbd)
        self.vifs = XenstoreTable(self._tree, "vif", Vif)
        self.pcis = XenstoreTable(self._tree, "pci", Pci)
        self.vgpus = XenstoreTable(self._tree, "vgpu", Vgpu)
        self.vusbs = XenstoreTable(self._tree, "vusb", Vusb)

    def ids(self) -> tuple[VmId, ...]:
        """All VMs, by id."""
        return tuple(vm for vm in self._names() if self.exists(vm))

    def list(self) -> tuple[Vm, ...]:
        """All VMs that can be read."""
        return tuple(vm for vm in map(self._read_or_skip, self._names()) if vm is not None)

    def exists(self, vm: str) -> bool:
        """Whether there is such a VM."""
        return is_safe_name(vm) and _is_there(self._tree.door, self._tree.config(vm))

    def read(self, vm: str) -> Vm:
        """One VM."""
        found = _read(self._vms, self._tree.door, self._tree.config(vm)) if is_safe_name(vm) else None
        if found is None:
            raise refusals.unknown_vm(vm)
        return found

    def write(self, vm: Vm) -> None:
        """Add or replace a VM."""
        refusals.require_vm_name(vm.id)
        path = self._tree.config(vm.id)
        with _explained(f"write the metadata in {path}"):
            if self._vms.holds(self._tree.door, path, vm):
                return
            head = self._tree.door.within(lambda nodes: self._write(nodes, vm))
        self._vms.remember(path, head, vm)

    def remove(self, vm: str) -> None:
        """Forget a VM with all its devices."""
        if not is_safe_name(vm):
            raise refusals.unknown_vm(vm)
        config, folder = self._tree.config(vm), self._tree.vm(vm)
        with _explained(f"remove VM {vm}"):
            was_there = self._tree.door.within(lambda nodes: _remove(nodes, config, folder))
        if not was_there:
            raise refusals.unknown_vm(vm)

    def rename(self, vm: str, name: str) -> None:
        """Give a VM and its devices another id, all at once."""
        if not is_safe_name(vm):
            raise refusals.unknown_vm(vm)
        with _explained(f"rename VM {vm} to {name}"):
            self._tree.door.within(lambda nodes: self._rename(nodes, vm, name))

    def devices(self, vm: str) -> Devices:
        """All devices of a VM."""
        return self._devices(vm, self._tree.door)

    def _names(self) -> Sequence[VmId]:
        door, root = self._tree.door, self._tree.root
        with _explained(f"list the metadata in {root}"):
            buckets = door.names(root) or ()
            nodes = [node for bucket in buckets for node in door.names(f"{root}/{bucket}") or ()]
        return sorted(VmId(name) for name in map(plain_name, nodes) if is_safe_name(name))

    def _write(self, nodes: Transaction, vm: Vm) -> bytes:
        path = self._tree.config(vm.id)
        before = nodes.read(path)
        if before is None:
            _require_room(nodes, self._tree.bucket(vm.id), self._tree.vm(vm.id), "VMs")
        return self._vms.put(nodes, path, vm, before)

    def _rename(self, nodes: Transaction, vm: str, name: str) -> None:
        old = _read(self._vms, nodes, self._tree.config(vm))
        if old is None:
            raise refusals.unknown_vm(vm)
        refusals.require_vm_name(name)
        if nodes.read(self._tree.config(name)) is not None:
            raise refusals.vm_exists(name)
        devices = self._devices(vm, nodes)
        nodes.remove(self._tree.vm(vm))
        self._write(nodes, old.model_copy(update={"id": name}))
        self.vbds.rewrite(nodes, devices.vbds, name)
        self.vifs.rewrite(nodes, devices.vifs, name)
        self.pcis.rewrite(nodes, devices.pcis, name)
        self.vgpus.rewrite(nodes, devices.vgpus, name)
        self.vusbs.rewrite(nodes, devices.vusbs, name)

    def _devices(self, vm: str, nodes: Reading) -> Devices:
        names = self._tree.names(vm, nodes)
        return Devices(
            vbds=self.vbds.among(vm, names, nodes),
            vifs=self.vifs.among(vm, names, nodes),
            pcis=self.pcis.among(vm, names, nodes),
            vgpus=self.vgpus.among(vm, names, nodes),
            vusbs=self.vusbs.among(vm, names, nodes),
        )

    def _read_or_skip(self, vm: VmId) -> Vm | None:
        path = self._tree.config(vm)
        with _explained(f"read the metadata in {path}"):
            try:
                return self._vms.read(self._tree.door, path)
            except DamagedError:
                _LOG.warning("VM %s is left out of the list: its config is damaged", vm, exc_info=True)
                return None


def _is_there(door: Reading, path: str) -> bool:
    with _explained(f"read the metadata in {path}"):
        return door.read(path) is not None


def _read(values: Values[T], door: Reading, path: str) -> T | None:
    with _explained(f"read the metadata in {path}"):
        try:
            return values.read(door, path)
        except DamagedError as error:
            raise refusals.damaged(path, error) from error


def _remove(nodes: Transaction, path: str, folder: str) -> bool:
    """Remove a folder if there is something at the path; answers whether there was."""
    if nodes.read(path) is None:
        return False
    nodes.remove(folder)
    return True


def _require_room(nodes: Transaction, folder: str, path: str, what: str) -> None:
    """Refuse a further name in a folder when the names could not be listed any more."""
    if not fits(nodes.names(folder) or (), path.rpartition("/")[2]):
        raise internal_error(
            f"Cannot write the metadata in {path}: {folder} holds as many {what} as xenstored can list; "
            "remove some, or keep metadata in files (XENOPS_STORE=files)"
        )


@contextmanager
def _explained(attempt: str) -> Iterator[None]:
    """Turn what the daemon refuses into a sentence."""
    try:
        yield
    except XenstoreError as error:
        raise internal_error(f"Cannot {attempt}: {error}") from error
