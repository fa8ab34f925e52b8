"""Content: where a disk's bytes are on this host, and who is told when a domain has them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress

from schema.fault import XenopsError, unimplemented
from schema.ids import DeviceId
from schema.objects.disk import Disk, LocalDisk, Vdi
from schema.objects.vbd import Vbd, VbdMode, VbdType
from typing_extensions import override

from engine.hosted.localdisk import format_of, refuse_unless_disk
from engine.hosted.machine import Source
from engine.hosted.storage.directory import NoStorage
from engine.hosted.storage.place import Place, local_place, storages_place
from engine.hosted.storage.ports import Storage, Use
from engine.image import Image, ImageStream

SUSPENDED = "suspended"
"""What a domain has its suspend image as, for storage; no VBD's name is like it."""


class Content(ABC):
    """The disks of a host, local ones and those of its storage. An `owner` is a `HostedDomain.owner`."""

    def __init__(self, storage: Storage | None = None) -> None:
        self._storage = storage or NoStorage()

    def find(self, vbd: Vbd, disk: Disk, owner: str) -> Source:
        """Where a disk is for a domain; storage has it attached from now on.

        Errors: `Internal_error` that names the file; those of `Storage.attach`.
        """
        found = disk.path if isinstance(disk, LocalDisk) else self._storage.attach(_use(vbd, disk, owner))
        return found if isinstance(found, Source) else self._in_file(vbd, disk, found)

    @abstractmethod
    def _in_file(self, vbd: Vbd, disk: Disk, path: str) -> Source:
        """The source of a disk that is a file or a device of this host, which must be there."""

    def open(self, vbd: Vbd, disk: Disk, owner: str) -> Source:
        """The same of one that is opened at once. Errors: those of `find` and `activate`."""
        source = self.find(vbd, disk, owner)
        self.activate(vbd, disk, owner)
        return source

    def open_all(self, vbds: Iterable[Vbd], owner: str) -> dict[DeviceId, Source]:
        """The same of all that have content; one that cannot be opened, and storage has none of them open.

        Errors: those of `open`.
        """
        found: dict[DeviceId, Source] = {}
        with ExitStack() as failing:
            for vbd in vbds:
                if vbd.backend is not None:
                    failing.callback(self.release, vbd, vbd.backend, owner)
                    found[vbd.id] = self.open(vbd, vbd.backend, owner)
            failing.pop_all()
        return found

    def activate(self, vbd: Vbd, disk: Disk | None, owner: str) -> None:
        """A disk that was found is opened from now on. Errors: those of `Storage.activate`."""
        if isinstance(disk, Vdi):
            self._storage.activate(_use(vbd, disk, owner))

    def deactivate(self, vbd: Vbd, disk: Disk | None, owner: str, *, force: bool = False) -> None:
        """It is closed. By force, what storage says to that is not waited for: `release` follows.

        Errors: those of `Storage.deactivate`.
        """
        if isinstance(disk, Vdi):
            with suppress(XenopsError) if force else nullcontext():
                self._storage.deactivate(_use(vbd, disk, owner))

    def release(self, vbd: Vbd, disk: Disk | None, owner: str) -> None:
        """Nothing of a domain uses it any more."""
        if isinstance(disk, Vdi):
            self._storage.detach(_use(vbd, disk, owner))

    @contextmanager
    def lent(self, disk: Disk, owner: str, device: str, *, read_only: bool) -> Iterator[str | Source]:
        """A disk for the host itself, on behalf of a domain, while inside; answers as `Storage.attach`.

        `device` is what storage knows that use by. Errors: those of `Storage.attach` and `activate`.
        """
        if isinstance(disk, LocalDisk):
            yield disk.path
            return
        use = Use(disk.name, owner, device, read_only)
        found = self._storage.attach(use)
        try:
            self._storage.activate(use)
            yield found
        finally:
            self._storage.detach(use)

    @contextmanager
    def placed(self, image: Image, owner: str, *, read_only: bool) -> Iterator[Place | ImageStream]:
        """An image that is on a disk has its place there, while inside; any other is itself.

        Errors: those of `image`.
        """
        if isinstance(image, LocalDisk | Vdi):
            with self.image(image, owner, read_only=read_only) as place:
                yield place
        else:
            yield image

    @contextmanager
    def image(self, disk: Disk, owner: str, *, read_only: bool) -> Iterator[Place]:
        """Where a suspend image is, while inside. Errors: those of `Storage` and `storages_place`."""
        if isinstance(disk, LocalDisk):
            yield local_place(disk.path)
            return
        with self.lent(disk, owner, SUSPENDED, read_only=read_only) as found:
            yield storages_place(disk.name, found)

    def begin(self, disk: Disk, owner: str | None, *, persistent: bool) -> None:
        """A life of a disk's content begins. Errors: those of `Storage.begin`; `Unimplemented`."""
        if isinstance(disk, Vdi) and self._storage.keeps_epochs:
            self._storage.begin(disk.name, owner, persistent=persistent)
        elif not persistent:
            self._forget_later(disk, owner)

    @abstractmethod
    def _forget_later(self, disk: Disk, owner: str | None) -> None:
        """What is written from now on is forgotten at the end of this life, and storage does not do that."""

    def end(self, disk: Disk, owner: str | None) -> None:
        """That life ends; there is none, nothing to do. Errors: those of `Storage.end`."""
        if isinstance(disk, Vdi):
            self._storage.end(disk.name, owner)


class LastingContent(Content):
    """Disks that keep what is written, but where a storage service forgets it."""

    @override
    def _in_file(self, vbd: Vbd, disk: Disk, path: str) -> Source:
        """Errors: `Internal_error` that names the file."""
        return source_in(vbd, path)

    @override
    def _forget_later(self, disk: Disk, owner: str | None) -> None:
        """Errors: `Unimplemented`."""
        raise unimplemented("VBD.epoch_begin of a disk that forgets what is written")


def source_in(vbd: Vbd, path: str) -> Source:
    """Of a disk that is a file or a device of this host. Errors: `Internal_error` that names it."""
    return Source(path=path, format=format_of(vbd, path), is_device=refuse_unless_disk(path))


def is_read_only(vbd: Vbd) -> bool:
    """Whether a guest cannot write it."""
    return vbd.ty is VbdType.CDROM or vbd.mode is VbdMode.READ_ONLY


def path_of(found: str | Source) -> str:
    """Of what `Storage.attach` answers."""
    return found if isinstance(found, str) else found.path


def _use(vbd: Vbd, disk: Vdi, owner: str) -> Use:
    return Use(disk.name, owner, vbd.id.device, is_read_only(vbd))
