"""Open files: those that QEMU is given open, because it may open none itself: disks, firmware, kernels.

QEMU calls an open file `/dev/fdset/N`. A disk may be a chain of files, an image on top of others; or an NBD
server has it, to which QEMU is given a connection.
"""

import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.hosted.machine import Source
from schema.fault import internal_error

from worker_kvm.qemu.qcow2 import HEADER_BYTES, backing_of

CHAIN_FILES_MAX = 200
"""As many images on top of each other; one that is on top of itself ends here, too."""

Words = dict[str, object]
"""The arguments of a QMP command."""

Give = Callable[[int], int]
"""Gives QEMU an open file; answers the number that QEMU knows it by."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A file of a disk that QEMU has: the top one first."""

    format: Literal["raw", "qcow2"]
    fdset: int
    is_device: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """A disk that an NBD server has under that name, and what QEMU knows a connection to it by."""

    export: str
    connection: str


Given = Sequence[Layer] | Served
"""A disk's content as QEMU has it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file of a disk."""

    source: Source
    descriptor: int


def content_words(given: Given) -> Words:
    """A disk's content in QEMU's words. Its format is said, never guessed, and so is what it is on top of."""
    if isinstance(given, Served):
        server = {"type": "fd", "str": given.connection}
        return {"driver": "raw", "file": {"driver": "nbd", "server": server, "export": given.export}}
    top, *below = given
    driver = "host_device" if top.is_device else "file"
    words: Words = {
        "driver": top.format,
        "file": {"driver": driver, "filename": f"/dev/fdset/{top.fdset}"},
    }
    if below:
        words["backing"] = {**content_words(below), "read-only": True}
    return words


def give_content(source: Source, give: Give, *, read_only: bool) -> tuple[Layer, ...]:
    """Open a disk with all that it is on top of, and give QEMU each file.

    Errors: `Internal_error` that names the file; those of `give`.
    """
    with opened_content(source, read_only=read_only) as files:
        return tuple(
            Layer(file.source.format, give(file.descriptor), file.source.is_device) for file in files
        )


@contextmanager
def opened_content(source: Source, *, read_only: bool) -> Iterator[Sequence[Opened]]:
    """A disk with all that it is on top of, which nobody writes. Errors: as of `give_content`."""
    files: list[Opened] = []
    with ExitStack() as closing:
        below: Source | None = source
        while below is not None:
            if len(files) == CHAIN_FILES_MAX:
                raise internal_error(
                    f"The disk {source.path} is on top of more than {CHAIN_FILES_MAX} files, or of itself: "
                    "commit them"
                )
            descriptor = open_file(below.path, read_only=read_only or bool(files))
            closing.callback(os.close, descriptor)
            files.append(Opened(below, descriptor))
            below = _below(below, descriptor)
        yield files


def connected(source: Source) -> socket.socket:
    """A connection to the NBD server that has a disk. Errors: `Internal_error` that names its socket."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(source.path)
    except (OSError, ValueError) as error:
        connection.close()
        raise internal_error(
            f"The NBD server at {source.path} cannot be reached: {error}; see to the storage service"
        ) from error
    return connection


def open_file(path: str | Path, *, read_only: bool = True) -> int:
    """Open a file for QEMU; the caller closes it. Errors: `Internal_error` that names it."""
    try:
        return os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        how = "read" if read_only else "written"
        raise internal_error(f"{path} cannot be {how}: {words}; see to its rights") from error


def open_readable(path: str) -> int:
    """Open a file that QEMU opens again by its number, as it does with kernels; the caller closes it.

    One that not everybody may read is copied into memory: who runs QEMU could not open it again.
    Errors: `Internal_error` that names it.
    """
    descriptor = open_file(path)
    if os.fstat(descriptor).st_mode & stat.S_IROTH:
        return descriptor
    with open(descriptor, "rb") as file:  # noqa: PTH123  it is open already
        copy = os.memfd_create("kernel", os.MFD_CLOEXEC)
        while os.sendfile(copy, file.fileno(), None, 1 << 30):
            pass
        return copy


def _below(source: Source, descriptor: int) -> Source | None:
    if source.format != "qcow2":
        return None
    try:
        backing = backing_of(Path(source.path), os.pread(descriptor, HEADER_BYTES, 0))
        if backing is None:
            return None
        is_device = stat.S_ISBLK(backing.path.stat().st_mode)
    except (OSError, ValueError) as error:
        raise internal_error(f"A disk cannot be opened: {error}") from error
    return Source(path=str(backing.path), format=backing.format, is_device=is_device)
