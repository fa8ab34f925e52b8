"""The applier: looks at what has changed in xenops and has the database say so.

After xapi's update_vm, update_vbd and so on: only VMs that are resident here are looked at, and none while
an operation on it is under way that must not be seen half done.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from schema.fault import XenopsError
from schema.objects.dynamic import (
    ObjectId,
    PciObject,
    TaskObject,
    VbdObject,
    VgpuObject,
    VifObject,
    VmObject,
    VusbObject,
)
from schema.objects.errors import BadPowerState, DoesNotExist
from schema.objects.metadata import Metadata
from schema.objects.vm import VmState
from schema.wire.codec import decode_text

from xenops.client import Client
from xenops.toolstack.convert import Source
from xenops.toolstack.records import VmRecord
from xenops.toolstack.reflect import (
    DeviceNews,
    Update,
    apply,
    pci_news,
    vbd_news,
    vgpu_news,
    vif_news,
    vm_news,
    vusb_news,
)

S = TypeVar("S")
T = TypeVar("T")
_Device = VbdObject | VifObject | PciObject | VgpuObject | VusbObject


class Applier:
    """A watcher's handler. It remembers what it has last seen of each VM, and writes what is new."""

    def __init__(self, client: Client, source: Source) -> None:
        self._client = client
        self._source = source
        self._lock = threading.Lock()
        self._states: dict[str, VmState] = {}
        self._devices: dict[ObjectId, Any] = {}
        self._suppressed: dict[str, int] = {}

    def vms(self) -> Sequence[str]:
        """The VMs of which something was seen, and has not gone since."""
        with self._lock:
            return tuple(self._states)

    @contextmanager
    def suppressed(self, vm: str) -> Iterator[None]:
        """Look away from a VM within; the caller has all of it looked at afterwards."""
        with self._lock:
            self._suppressed[vm] = self._suppressed.get(vm, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._suppressed[vm] -= 1
                if not self._suppressed[vm]:
                    del self._suppressed[vm]

    def forget(self, vm: str) -> None:
        """Whatever was seen of a VM counts no more: all of it will be written once more."""
        with self._lock:
            self._states.pop(vm, None)
            for device in [device for device in self._devices if device.id[0] == vm]:
                del self._devices[device]

    def changed(self, changed: ObjectId) -> None:
        """Look at one object; see `Handler`."""
        match changed:
            case TaskObject():
                return
            case VmObject(id=vm):
                ref = self._here(vm)
                if ref is not None:
                    self._vm(vm, ref)
                elif self._client.vm.exists(vm) is False:
                    self.forget(vm)
            case _:
                ref = self._here(changed.id.vm)
                if ref is not None:
                    self._device(changed, ref)

    def _here(self, vm: str) -> str | None:
        """The reference of a VM whose changes are ours to write."""
        with self._lock:
            if vm in self._suppressed:
                return None
        ref = self._source.database.find(VmRecord.klass, vm)
        if ref is None or self._source.get(VmRecord, ref).resident_on != self._source.site.host:
            return None
        return ref

    def _vm(self, vm: str, ref: str) -> None:
        before = self._states.get(vm)
        stat = _unless_gone(lambda: self._client.vm.stat(vm))
        now = stat[1] if stat else None
        if now is not None and now == before:
            return
        if now is None:
            self.gone(vm, ref)
            return
        news = vm_news(self._source, ref, before, now, at=datetime.now(UTC))
        apply(self._source.database, news.changes)
        with self._lock:
            self._states[vm] = now
        if news.pull:
            self._pull(vm, ref)
        if news.pull or news.forget:
            self.remove(vm)

    def _pull(self, vm: str, ref: str) -> None:
        """Keep what xenops alone knows of a suspended VM: it resumes by that."""
        exported = _unless_gone(lambda: self._client.vm.export_metadata(vm))
        metadata: Metadata | None = decode_text(Metadata, exported) if exported else None
        if metadata and metadata.domains is not None:
            change = Update(VmRecord.klass, ref, {"last_booted_record": metadata.domains})
            apply(self._source.database, (change,))

    def gone(self, vm: str, ref: str) -> None:
        """A VM that was to be here is not known to xenops: its record says so."""
        apply(self._source.database, vm_news(self._source, ref, None, None, at=datetime.now(UTC)).changes)
        self.forget(vm)

    def remove(self, vm: str) -> None:
        """Have xenops forget a VM; one that runs after all stays."""
        try:
            self._client.vm.remove(vm)
        except XenopsError as error:
            if isinstance(error.error, BadPowerState):
                return
            if not isinstance(error.error, DoesNotExist):
                raise
        self.forget(vm)

    def _device(self, changed: _Device, ref: str) -> None:
        source, client = self._source, self._client
        vm, name = source.get(VmRecord, ref), changed.id
        match changed:
            case VbdObject():
                news = partial(vbd_news, source, vm, name.device)
                self._reflect(changed, lambda: client.vbd.stat(name), news, lambda: client.vbd.remove(name))
            case VifObject():
                news_of_vif = partial(vif_news, source, vm, name.device)
                self._reflect(
                    changed, lambda: client.vif.stat(name), news_of_vif, lambda: client.vif.remove(name)
                )
            case PciObject():
                self._reflect(
                    changed, lambda: client.pci.stat(name), partial(pci_news, source, ref, name.device)
                )
            case VgpuObject():
                news_of_vgpu = partial(vgpu_news, source, vm, name.device)
                self._reflect(
                    changed, lambda: client.vgpu.stat(name), news_of_vgpu, lambda: client.vgpu.remove(name)
                )
            case VusbObject():
                self._reflect(
                    changed, lambda: client.vusb.stat(name), partial(vusb_news, source, vm, name.device)
                )

    def _reflect(
        self,
        changed: ObjectId,
        stat: Callable[[], tuple[Any, S]],
        news_of: Callable[[S], DeviceNews],
        remove: Callable[[], None] = lambda: None,
    ) -> None:
        """Write what is new of a device, and have xenops forget one that is neither plugged nor to be."""
        found = _unless_gone(stat)
        if found is None or found[1] == self._devices.get(changed):
            return
        news = news_of(found[1])
        apply(self._source.database, news.changes)
        with self._lock:
            self._devices[changed] = found[1]
        if news.forget:
            with suppress(XenopsError):  # it is plugged again, or gone with its VM
                remove()


def _unless_gone(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except XenopsError as error:
        if isinstance(error.error, DoesNotExist):
            return None
        raise
