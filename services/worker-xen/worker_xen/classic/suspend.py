"""Suspend: a guest written to an image and read from one; a courier, another process, moves the bytes.

    signature | Xenops: the domain as noted | Libxc: its memory, which tells itself where it ends |
    Qemu_xen: its device model, if it has one | End

A disk's file is the courier's own; what goes to another host, or comes from one, passes through a pipe.
"""

import contextlib
import os
import select
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.backend import Execution
from engine.hosted.storage.place import Place
from engine.image import HEADER, SIGNATURE, ImageStream, RecordType
from pydantic import ValidationError
from schema.fault import XenopsError, internal_error

from worker_xen.classic.hvm.emulators import STATE_BYTES_MAX
from worker_xen.classic.machine import Domain
from worker_xen.libxc.stream import pieces
from worker_xen.libxc.values import Loaded, Nature, Ports, Rings
from worker_xen.pump import CHUNK_BYTES, pumped, write_all

_TEXT_BYTES_MAX = 16 << 20
_POLL_S = 0.25
"""How often progress is told."""

_NEARLY = 0.99
"""Of the way, while the end is not there."""

_LINES_MAX = 6
"""Of what libxc says before it gives up, the last lines."""


_END = HEADER.pack(RecordType.END, 0)

Read = Callable[[int], bytes]
"""Answers exactly so many bytes of an image."""


@dataclass(frozen=True, slots=True)
class Saved:
    """Who is saved, and whether it runs while most of its memory is written."""

    domain: Domain
    live: bool = False


@dataclass(frozen=True, slots=True)
class Built:
    """What an empty domain is built of; `descriptors` are the open files that its kernel is in."""

    nature: Nature
    loaded: Loaded
    ports: Ports
    descriptors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Courier:
    """Starts the process that moves a guest's memory: see `worker_xen.libxc.courier`."""

    command: tuple[str, ...]

    def save(self, image: int, saved: Saved, suspend: Callable[[], None], execution: Execution) -> None:
        """Write a guest's memory. `suspend` has the guest suspend itself, and raises when it does not.

        Until then a cancel ends it. Errors: `Internal_error` with libxc's words.
        """
        question, asked = os.pipe()
        answered, answer = os.pipe()
        domain, what = saved.domain, "save-live" if saved.live else "save"
        words = [what, str(domain.domid), str(image), str(asked), str(answered)]
        process = self._start(words, [image, asked, answered])
        os.close(asked)
        os.close(answered)
        try:
            with execution.cancellable(process.kill):
                ready = os.read(question, 1)
            execution.check_cancelled()
            if ready:
                suspend()
                with contextlib.suppress(BrokenPipeError):  # it says below why it has ended
                    os.write(answer, b"y")
            _follow(process, image, domain, execution)
            _, said = process.communicate()
            if process.returncode:
                raise _failure(f"save VM {domain.vm.id}", said)
        finally:
            process.kill()
            process.communicate()
            os.close(question)
            os.close(answer)

    def restore(self, image: int, domid: int, ports: Ports, execution: Execution) -> Rings:
        """Read the guest's record of an image. A cancel ends it. Errors: as of `save`."""
        words = ["restore", str(domid), str(image), str(ports.store), str(ports.console)]
        frames = self._fill("restore the guest", words, [image], execution)
        return Rings(ports.store, frames[0], ports.console, frames[1])

    def build(self, domid: int, built: Built, execution: Execution) -> Rings:
        """Put a kernel into a domain that nobody has vouched for. Errors: as of `save`."""
        loaded, kernel, ports = built.loaded, built.loaded.kernel, built.ports
        words = [
            *("build", str(domid), str(ports.store), str(ports.console), built.nature.container),
            *(str(built.nature.vcpus), str(loaded.vcpus_online), str(loaded.memory_mib)),
            *(kernel.path, kernel.ramdisk or "", kernel.command_line),
        ]
        frames = self._fill("build the guest", words, built.descriptors, execution)
        return Rings(ports.store, frames[0], ports.console, frames[1])

    def _fill(
        self, what: str, words: list[str], descriptors: Sequence[int], execution: Execution
    ) -> tuple[int, int]:
        """Fill an empty domain; answers the frames of its two rings."""
        process = self._start(words, descriptors)
        try:
            with execution.cancellable(process.kill):
                out, words_of_libxc = process.communicate()
            execution.check_cancelled()
            frames = out.split()
            if process.returncode or len(frames) != 2:
                raise _failure(what, words_of_libxc)
            return int(frames[0]), int(frames[1])
        finally:
            process.kill()
            process.wait()

    def _start(self, words: list[str], descriptors: Sequence[int]) -> "subprocess.Popen[str]":
        """It inherits the descriptors, and dies with us."""
        return subprocess.Popen(
            [*self.command, *words],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@dataclass(slots=True)
class Opened:
    """An image that is read: where its memory comes from, and what it was of."""

    descriptor: int
    domain: Domain
    model: bytes | None = None
    """Its device model, once its memory is read; None: it has none."""


@contextmanager
def written(
    image: Place | ImageStream, domain: Domain, execution: Execution, model: Callable[[], bytes] | None = None
) -> Iterator[int]:
    """Where a guest's memory goes: an image is there as a whole afterwards or, if it is a file, not at all.

    `model` answers what its device model is like then, if it has one.

    Errors: `Internal_error` that names it; the stream's own.
    """
    if isinstance(image, Place):
        with _drafted(image) as descriptor:
            _write(descriptor, bytes(len(SIGNATURE)) + _head(domain)[len(SIGNATURE) :])
            yield descriptor
            _write(descriptor, _tail(model))
    else:
        image.write(_head(domain))
        total = max(1, domain.memory_target_bytes)
        with pumped(_memory_to(image, total, execution), to_library=False) as descriptor:
            yield descriptor
        image.write(_tail(model))
    execution.progress(1.0)


@contextmanager
def read(image: Place | ImageStream, vm: str) -> Iterator[Opened]:
    """Whence a guest's memory comes, and the domain that it was of; afterwards all of it is read.

    Errors: `Internal_error` that says what is wrong with it; the stream's own.
    """
    if isinstance(image, Place):
        with _opened(image.path, vm) as descriptor:
            reading = partial(_read, descriptor)
            opened = Opened(descriptor, _read_head(reading, vm))
            yield opened
            opened.model = _read_tail(reading, opened.domain)
    else:
        domain = _read_head(image.read, vm)
        with pumped(_memory_from(image, vm), to_library=True) as descriptor:
            opened = Opened(descriptor, domain)
            yield opened
        opened.model = _read_tail(image.read, domain)


def _memory_to(stream: ImageStream, total_bytes: int, execution: Execution) -> Callable[[int], None]:
    """Carries what the courier writes."""

    def carry(source: int) -> None:
        come = 0
        while piece := os.read(source, CHUNK_BYTES):
            stream.write(piece)
            come += len(piece)
            execution.progress(min(_NEARLY, come / total_bytes))

    return carry


def _memory_from(stream: ImageStream, vm: str) -> Callable[[int], None]:
    """Carries to the courier what is its."""

    def carry(target: int) -> None:
        with _damaged(vm):
            for piece in pieces(stream.read, CHUNK_BYTES):
                write_all(target, piece)

    return carry


@contextmanager
def _drafted(place: Place) -> Iterator[int]:
    """Where an image is written to, whose signature is put there once all else is."""
    target = place.draft or place.path
    try:
        flags = os.O_WRONLY | os.O_CLOEXEC | (0 if place.lasts else os.O_CREAT | os.O_TRUNC)
        descriptor = os.open(target, flags, 0o600)
    except (OSError, ValueError) as error:
        raise internal_error(
            f"The suspend image {place.path} cannot be written: {error}; see to its rights"
        ) from error
    try:
        try:
            yield descriptor
            os.fsync(descriptor)
            os.pwrite(descriptor, SIGNATURE, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        if place.draft is not None:
            place.draft.unlink(missing_ok=True)
        raise
    if place.draft is not None:
        place.draft.replace(place.path)


@contextmanager
def _opened(path: Path, vm: str) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise internal_error(
            f"Cannot resume VM {vm}: there is no suspend image on the disk given, {path} ({error})"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _head(domain: Domain) -> bytes:
    text = domain.model_dump_json().encode()
    return SIGNATURE + HEADER.pack(RecordType.XENOPS, len(text)) + text + HEADER.pack(RecordType.LIBXC, 0)


def _tail(model: Callable[[], bytes] | None) -> bytes:
    if model is None:
        return _END
    state = model()
    return HEADER.pack(RecordType.QEMU_XEN, len(state)) + state + _END


def _read_tail(reading: Read, domain: Domain) -> bytes | None:
    """Up to the image's end; answers the device model, if there is one."""
    with _damaged(domain.vm.id):
        state = _read_model(reading) if domain.is_hvm else None
        kind, _ = HEADER.unpack(reading(HEADER.size))
        if kind != RecordType.END:
            raise ValueError(f"a record {kind:#x} where END should be")
        return state


def _read_model(reading: Read) -> bytes:
    kind, length = HEADER.unpack(reading(HEADER.size))
    if kind != RecordType.QEMU_XEN:
        raise ValueError(f"a record {kind:#x} where QEMU_XEN should be")
    if not 0 <= length <= STATE_BYTES_MAX:
        raise ValueError(f"a record QEMU_XEN of {length} bytes is not possible")
    return reading(length)


def _read_head(reading: Read, vm: str) -> Domain:
    with _damaged(vm):
        signature = reading(len(SIGNATURE))
        if signature != SIGNATURE:
            raise ValueError(f'Not a valid signature: "{signature.decode("ascii", "backslashreplace")}"')
        kind, length = HEADER.unpack(reading(HEADER.size))
        if kind != RecordType.XENOPS:
            raise ValueError(f"a record {kind:#x} where XENOPS should be")
        if not 0 <= length <= _TEXT_BYTES_MAX:
            raise ValueError(f"a record XENOPS of {length} bytes is not possible")
        domain = Domain.model_validate_json(reading(length))
        kind, _ = HEADER.unpack(reading(HEADER.size))
        if kind != RecordType.LIBXC:
            raise ValueError(f"a record {kind:#x} where LIBXC should be")
        return domain


@contextmanager
def _damaged(vm: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, ValidationError) as error:
        raise internal_error(f"Cannot resume VM {vm}: its suspend image is damaged: {error}") from error


def _read(image: int, size: int) -> bytes:
    """Exactly so many bytes, and no byte more: the courier reads on from here."""
    chunks: list[bytes] = []
    while size:
        chunk = os.read(image, size)
        if not chunk:
            raise ValueError("it ends too early: End_of_file")
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def _write(image: int, data: bytes) -> None:
    try:
        write_all(image, data)
    except OSError as error:
        raise internal_error(f"The suspend image cannot be written: {error.strerror}") from error


def _follow(process: "subprocess.Popen[str]", image: int, domain: Domain, execution: Execution) -> None:
    """Until the courier has ended, telling how far it is in a file; a pipe's other end tells for itself."""
    total = max(1, domain.memory_target_bytes)
    ended = os.pidfd_open(process.pid)
    try:
        while not select.select([ended], [], [], _POLL_S)[0]:
            with contextlib.suppress(OSError):
                execution.progress(min(_NEARLY, os.lseek(image, 0, os.SEEK_CUR) / total))
    finally:
        os.close(ended)


def _failure(what: str, words: str) -> XenopsError:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return internal_error(f"Cannot {what}: {'; '.join(lines[-_LINES_MAX:]) or 'libxc said nothing'}")
