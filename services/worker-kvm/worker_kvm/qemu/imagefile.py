"""Image file: a suspend image on a disk of this host, there as a whole or not at all."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from engine.image import SIGNATURE
from schema.fault import XenopsError, internal_error
from schema.objects.errors import Unimplemented

from worker_kvm.qemu.framing import Read, Write
from worker_kvm.qemu.machine import Source

_DRAFT = ".partial"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image is; `lasts`: what is there is written over, as a device, or a file that is storage's."""

    path: Path
    lasts: bool

    @property
    def draft(self) -> Path | None:
        """Where it is written to until it is whole; None: in its place."""
        return None if self.lasts else self.path.with_name(self.path.name + _DRAFT)


def local_place(path: str) -> Place:
    """Of an image on a disk of this host."""
    return Place(Path(path), _is_device(Path(path)))


def storages_place(name: str, source: str | Source) -> Place:
    """Of an image on a VDI. Errors: `Unimplemented`, it is no raw file or device."""
    match source:
        case str() as path if not path.endswith(".qcow2"):
            return Place(Path(path), lasts=True)
        case Source(path=path, format="raw", export=None):
            return Place(Path(path), lasts=True)
        case _:
            what = f"a suspend image on the VDI {name}, which its storage has not as a raw file or a device"
            raise XenopsError(Unimplemented(what=what))


class Draft:
    """An image that is being written."""

    def __init__(self, descriptor: int, path: Path, draft: Path | None) -> None:
        self._descriptor, self._path, self._draft = descriptor, path, draft

    def write(self, data: bytes | memoryview) -> None:
        """Write all of it. Errors: `Internal_error` that names the image."""
        view = memoryview(data)
        with _explained(self._path):
            while view:
                view = view[os.write(self._descriptor, view) :]

    def commit(self) -> None:
        """It is whole: from here on it is the image, whatever happens to the host. Errors as of `write`."""
        with _explained(self._path):
            os.fsync(self._descriptor)
            if self._draft is None:
                os.pwrite(self._descriptor, SIGNATURE, 0)
                os.fsync(self._descriptor)
                return
            self._draft.replace(self._path)
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)


@contextmanager
def drafted(place: Place) -> Iterator[Draft]:
    """A new image, gone again unless it is committed. In a place that lasts its signature is written last.

    Errors: `Internal_error` that names it.
    """
    path, draft = place.path, place.draft
    flags = os.O_WRONLY | os.O_CLOEXEC | (0 if draft is None else os.O_CREAT | os.O_TRUNC)
    with _explained(path):
        descriptor = os.open(draft or path, flags, 0o600)
    try:
        yield Draft(descriptor, path, draft)
    finally:
        os.close(descriptor)
        if draft is not None:
            draft.unlink(missing_ok=True)


def without_signature(write: Write) -> Write:
    """Writes zeroes in place of an image's first bytes: what is written is none until those are put there."""
    begun = False

    def write_rest(data: bytes | memoryview) -> None:
        nonlocal begun
        write(data if begun else bytes(len(SIGNATURE)))
        begun = True

    return write_rest


@contextmanager
def opened(path: Path, vm: str) -> Iterator[Read]:
    """An image, to be read from its beginning. Errors: `Internal_error` that names it.

    What is given to read with raises `ValueError` when the image ends too early.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise internal_error(
            f"Cannot resume VM {vm}: there is no suspend image on the disk given, {path} ({error})"
        ) from error
    with open(descriptor, "rb") as file:  # noqa: PTH123  it is open already

        def read(size: int) -> bytes:
            try:
                content = file.read(size)
            except OSError as error:
                raise ValueError(f"it cannot be read: {error.strerror}") from error
            if len(content) < size:
                raise ValueError("it ends too early: End_of_file")
            return content

        yield read


def _is_device(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return stat.S_ISBLK(path.stat().st_mode)
    return False


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        raise internal_error(
            f"The suspend image {path} cannot be written: {words}; see to the disk's room and its rights"
        ) from error
