"""Loop: a file as a block device that goes away by itself as soon as nobody has it open.

So no loop device is left behind, whoever dies and when: it is made with the kernel's flag AUTOCLEAR, and held
open until the disk's backend has opened it.
"""

import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from schema.fault import internal_error

from worker_xen.xenstore.devices import BlockDevice

_CONTROL = "/dev/loop-control"
_GET_FREE = 0x4C82
_CONFIGURE = 0x4C0A
_READ_ONLY = 1
_AUTOCLEAR = 4
_CONFIG_BYTES = 304
_FLAGS_OFFSET = 60
_NAME_OFFSET = 64
_NAME_BYTES_MAX = 63
_ATTEMPTS_MAX = 64
"""Another one may take a free device first; somebody's attempt succeeds each time."""


@contextmanager
def opened(path: str, *, read_only: bool) -> Iterator[BlockDevice]:
    """The block device of a disk's file or device, there at least while inside.

    Errors: `Internal_error` that names the file.
    """
    descriptor = _open(path, read_only=read_only)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISBLK(mode):
            yield _block_device(path, descriptor)
        elif stat.S_ISREG(mode):
            device, loop = _attach(path, descriptor, read_only=read_only)
            try:
                yield _block_device(device, loop)
            finally:
                os.close(loop)
        else:
            raise internal_error(f"The disk {path} is neither a file nor a block device: name one of these")
    finally:
        os.close(descriptor)


def check(path: str, *, read_only: bool) -> None:
    """See that a disk can be opened. Errors as of `opened`."""
    os.close(_open(path, read_only=read_only))


def _open(path: str, *, read_only: bool) -> int:
    flags = (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError as error:
        raise internal_error(
            f"There is no disk {path} on this host: make it, or correct the VBD's backend"
        ) from error
    except (OSError, ValueError) as error:
        raise internal_error(f"The disk {path} cannot be opened: {error}; see to its rights") from error


def _block_device(path: str, descriptor: int) -> BlockDevice:
    number = os.fstat(descriptor).st_rdev
    return BlockDevice(path, os.major(number), os.minor(number))


def _attach(path: str, descriptor: int, *, read_only: bool) -> tuple[str, int]:
    """A free loop device for a file, and it opened."""
    config = bytearray(_CONFIG_BYTES)
    struct.pack_into("=II", config, 0, descriptor, 0)
    struct.pack_into("=I", config, _FLAGS_OFFSET, _AUTOCLEAR | (_READ_ONLY if read_only else 0))
    name = os.fsencode(path)[:_NAME_BYTES_MAX]
    config[_NAME_OFFSET : _NAME_OFFSET + len(name)] = name
    try:
        control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise internal_error(
            f"The disk {path} is a file, and there are no loop devices ({error.strerror}): `modprobe loop`"
        ) from error
    try:
        return _configured(path, control, bytes(config), read_only=read_only)
    finally:
        os.close(control)


def _configured(path: str, control: int, config: bytes, *, read_only: bool) -> tuple[str, int]:
    reason: OSError | None = None
    for _ in range(_ATTEMPTS_MAX):
        try:
            device = f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}"
            loop = os.open(device, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
        except OSError as error:
            reason = error
            continue
        try:
            fcntl.ioctl(loop, _CONFIGURE, config)
        except OSError as error:
            os.close(loop)
            reason = error
        else:
            return device, loop
    raise internal_error(
        f"The disk {path} cannot be made a block device ({reason}): see whether all loop devices are in use"
    ) from reason
