"""Suspend: a guest written to an image and read from one; a courier, another process, moves the bytes."""

import contextlib
import os
import select
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.backend import Execution
from engine.image import HEADER, SIGNATURE, RecordType
from pydantic import ValidationError
from schema.fault import XenopsError, internal_error

from worker_xen.classic.machine import Domain
from worker_xen.libxc.values import Ports, Rings

_TEXT_BYTES_MAX = 16 << 20
_POLL_S = 0.25
"""How often progress is told."""

_DRAFT = ".partial"
_LINES_MAX = 6
"""Of what libxc says before it gives up, the last lines."""


@dataclass(frozen=True, slots=True)
class Courier:
    """Starts the process that moves a guest's memory: see `worker_xen.libxc.courier`."""

    command: tuple[str, ...]

    def save(self, image: int, domain: Domain, suspend: Callable[[], None], execution: Execution) -> None:
        """Write an image. `suspend` has the guest suspend itself, and raises when it does not.

        Until then a cancel ends it. Errors: `Internal_error` with libxc's words.
        """
        text = domain.model_dump_json().encode()
        _write(image, SIGNATURE + HEADER.pack(RecordType.XENOPS, len(text)) + text)
        _write(image, HEADER.pack(RecordType.LIBXC, 0))  # it tells itself where it ends
        question, asked = os.pipe()
        answered, answer = os.pipe()
        words = ["save", str(domain.domid), str(image), str(asked), str(answered)]
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
        _write(image, HEADER.pack(RecordType.END, 0))
        execution.progress(1.0)

    def restore(self, image: int, domid: int, ports: Ports, execution: Execution) -> Rings:
        """Read the guest's record of an image. A cancel ends it. Errors: as of `save`."""
        words = ["restore", str(domid), str(image), str(ports.store), str(ports.console)]
        process = self._start(words, [image])
        try:
            with execution.cancellable(process.kill):
                out, words_of_libxc = process.communicate()
            execution.check_cancelled()
            frames = out.split()
            if process.returncode or len(frames) != 2:
                raise _failure("restore the guest", words_of_libxc)
            return Rings(ports.store, int(frames[0]), ports.console, int(frames[1]))
        finally:
            process.kill()
            process.wait()

    def _start(self, words: list[str], descriptors: list[int]) -> "subprocess.Popen[str]":
        """It inherits the descriptors, and dies with us."""
        return subprocess.Popen(
            [*self.command, *words],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextmanager
def drafted(path: Path) -> Iterator[int]:
    """An open image, which is there as a whole afterwards or, if it is a file, not at all.

    Errors: `Internal_error` that names it.
    """
    try:
        is_device = path.exists() and stat.S_ISBLK(path.stat().st_mode)
        target = path if is_device else path.with_name(path.name + _DRAFT)
        flags = os.O_WRONLY | os.O_CLOEXEC | (0 if is_device else os.O_CREAT | os.O_TRUNC)
        descriptor = os.open(target, flags, 0o600)
    except (OSError, ValueError) as error:
        raise internal_error(
            f"The suspend image {path} cannot be written: {error}; see to its rights"
        ) from error
    try:
        try:
            yield descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        if not is_device:
            target.unlink(missing_ok=True)
        raise
    if not is_device:
        target.replace(path)


@contextmanager
def opened(path: Path, vm: str) -> Iterator[tuple[int, Domain]]:
    """An image, read up to the guest's record, and the domain that it was made of.

    Errors: `Internal_error` that says what is wrong with it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise internal_error(
            f"Cannot resume VM {vm}: there is no suspend image on the disk given, {path} ({error})"
        ) from error
    try:
        yield descriptor, _read_head(descriptor, vm)
    finally:
        os.close(descriptor)


def check_end(image: int, vm: str) -> None:
    """See that an image ends as it should. Errors: `Internal_error`."""
    with _damaged(vm):
        kind, _ = HEADER.unpack(_read(image, HEADER.size))
        if kind != RecordType.END:
            raise ValueError(f"a record {kind:#x} where END should be")


def _read_head(image: int, vm: str) -> Domain:
    with _damaged(vm):
        signature = _read(image, len(SIGNATURE))
        if signature != SIGNATURE:
            raise ValueError(f'Not a valid signature: "{signature.decode("ascii", "backslashreplace")}"')
        kind, length = HEADER.unpack(_read(image, HEADER.size))
        if kind != RecordType.XENOPS:
            raise ValueError(f"a record {kind:#x} where XENOPS should be")
        if not 0 <= length <= _TEXT_BYTES_MAX:
            raise ValueError(f"a record XENOPS of {length} bytes is not possible")
        domain = Domain.model_validate_json(_read(image, length))
        kind, _ = HEADER.unpack(_read(image, HEADER.size))
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
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(image, view) :]
    except OSError as error:
        raise internal_error(f"The suspend image cannot be written: {error.strerror}") from error


def _follow(process: "subprocess.Popen[str]", image: int, domain: Domain, execution: Execution) -> None:
    """Until the courier has ended, telling how far it is."""
    total = max(1, domain.memory_target_bytes)
    ended = os.pidfd_open(process.pid)
    try:
        while not select.select([ended], [], [], _POLL_S)[0]:
            with contextlib.suppress(OSError):
                execution.progress(min(0.99, os.lseek(image, 0, os.SEEK_CUR) / total))
    finally:
        os.close(ended)


def _failure(what: str, words: str) -> XenopsError:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return internal_error(f"Cannot {what}: {'; '.join(lines[-_LINES_MAX:]) or 'libxc said nothing'}")
