"""Starting: opens what a domain's QEMU is given before it starts."""

import os
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.hosted.machine import Source
from schema.objects.vm import DirectBoot, Hvm, Vm

from worker_kvm.qemu.command import UEFI_CODE, UEFI_VARIABLES, Inherited, Sockets
from worker_kvm.qemu.devices import is_read_only
from worker_kvm.qemu.firmware import UefiFiles
from worker_kvm.qemu.machine import Domain
from worker_kvm.qemu.open_files import Given, Layer, Served, connected, open_readable, opened_content
from worker_kvm.qemu.user import User


def make_directories(sockets: Sockets, user: User | None, domid: int) -> None:
    """A domain's directory, and QEMU's in it, which is its user's alone. Errors: `OSError`."""
    sockets.directory.mkdir(mode=0o700, exist_ok=True)
    sockets.own.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        os.chown(sockets.own, *user.of(domid))


def listen(path: Path, closing: ExitStack) -> int:
    """A listening socket that QEMU inherits, open until `closing` ends: who connects need not poll."""
    path.unlink(missing_ok=True)
    listener = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    listener.bind(str(path))
    listener.listen(1)
    return listener.fileno()


def with_files(inherited: Inherited, domain: Domain, uefi: UefiFiles | None, closing: ExitStack) -> Inherited:
    """The same with kernel, firmware and disks open, until `closing` ends.

    Errors: `Internal_error` that names the file.
    """
    files: list[tuple[int, str]] = []
    connections: list[int] = []

    def opened(node: str, source: Source, *, read_only: bool) -> Given:
        if source.export is not None:
            connections.append(closing.enter_context(connected(source)).fileno())
            return Served(source.export, str(connections[-1]))
        layers = []
        for file in closing.enter_context(opened_content(source, read_only=read_only)):
            files.append((file.descriptor, node))
            layers.append(Layer(file.source.format, len(files), file.source.is_device))
        return layers

    contents = {}
    if uefi is not None:
        for node, path in ((UEFI_CODE, uefi.code), (UEFI_VARIABLES, uefi.variables)):
            contents[node] = opened(node, Source(path=str(path), format="raw"), read_only=node == UEFI_CODE)
    for disk in domain.disks:
        if disk.activated and disk.source is not None:
            node = disk.slot.node
            contents[node] = opened(node, disk.source, read_only=is_read_only(disk))
    kernel, ramdisk = _boot_files(domain.vm, closing)
    given: dict[str, Any] = {"files": files, "connections": connections, "contents": contents}
    return replace(inherited, kernel=kernel, ramdisk=ramdisk, **given)


def _boot_files(vm: Vm, closing: ExitStack) -> tuple[int | None, int | None]:
    if isinstance(vm.ty, Hvm) or not isinstance(vm.ty.info.boot, DirectBoot):
        return None, None
    boot = vm.ty.info.boot.boot
    kernel = _opened(boot.kernel, closing)
    return kernel, None if boot.ramdisk is None else _opened(boot.ramdisk, closing)


def _opened(path: str, closing: ExitStack) -> int:
    descriptor = open_readable(path)
    closing.callback(os.close, descriptor)
    return descriptor
