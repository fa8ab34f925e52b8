"""Image file: a suspend image on a disk of this host, there as a whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.hosted.storage.place import Place
from engine.image import SIGNATURE
from schema.fault import internal_error

from worker_kvm.qemu.framing import Read, Write
from worker_kvm.qemu.write_out import WriteOut


class Draft:
    """An image that is being written."""

    def __init__(self, descriptor: int, path: Path, draft: Path | None) -> None:
        self._descriptor, self._path, self._draft = descriptor, path, draft
        self._write_out = WriteOut(descriptor)

    def write(self, data: bytes | memoryview) -> None:
        """Write all of it. Errors: `Internal_error` that names the image."""
        view = memoryview(data)
        with _explained(self._path):
            while view:
                view = view[os.write(self._descriptor, view) :]
        self._write_out.wrote(len(data))

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


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        raise internal_error(
            f"The suspend image {path} cannot be written: {words}; see to the disk's room and its rights"
        ) from error
