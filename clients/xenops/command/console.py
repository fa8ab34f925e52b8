"""The console: a terminal attached to a VM's text console, a socket or a terminal of its host."""

import os
import select
import socket
import stat
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from schema.objects.vm import Console, ConsoleProtocol

ESCAPE = b"\x1d"
"""Ctrl and ], which leaves the console."""

_CHUNK = 4096
_Fd = int


class ConsoleError(Exception):
    """There is no console to attach to; the sentence says why, and what to do."""


def text_console(vm: str, consoles: tuple[Console, ...]) -> str:
    """The path of a VM's text console on its host.

    Raises:
        ConsoleError: it has none; a graphical one is named instead.
    """
    text = [
        console.path for console in consoles if console.protocol is ConsoleProtocol.VT100 and console.path
    ]
    if text:
        return text[0]
    graphical = [console for console in consoles if console.protocol is ConsoleProtocol.RFB]
    if graphical:
        at = graphical[0].path or f"localhost:{graphical[0].port}"
        raise ConsoleError(f"{vm} has a graphical console only: give {at} to a VNC viewer on its host")
    raise ConsoleError(f"{vm} has no console: start it first")


def attach(path: str, keyboard: _Fd, screen: _Fd) -> None:
    """Carry bytes both ways until the console or the keyboard ends, or `ESCAPE` is typed.

    Raises:
        ConsoleError: the path leads to nothing that can be talked to.
    """
    with _open(path) as console, _raw(keyboard):
        while True:
            ready, _, _ = select.select([console, keyboard], [], [])
            if console in ready and not _carry(console, screen):
                return
            if keyboard in ready and not _type(keyboard, console):
                return


@contextmanager
def _open(path: str) -> Iterator[_Fd]:
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116  the console's path is a text on the wire
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.connect(path)
            fd = connection.detach()
        else:
            fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        raise ConsoleError(f"cannot open the console {path} ({error}): is this the VM's host?") from error
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _raw(keyboard: _Fd) -> Iterator[None]:
    """The keyboard gives every key at once; as it was afterwards."""
    if not os.isatty(keyboard):
        yield
        return
    before = termios.tcgetattr(keyboard)
    tty.setraw(keyboard, termios.TCSADRAIN)  # what was typed ahead counts
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _carry(console: _Fd, screen: _Fd) -> bool:
    """What the console says; whether it says more."""
    try:
        said = os.read(console, _CHUNK)
    except OSError:  # a terminal whose other end is closed
        return False
    _write(screen, said)
    return bool(said)


def _type(keyboard: _Fd, console: _Fd) -> bool:
    """What was typed; whether more is."""
    typed, escape, _ = os.read(keyboard, _CHUNK).partition(ESCAPE)
    try:
        _write(console, typed)
    except OSError:  # it is closed: what it said last is still to be read
        return True
    return bool(typed) and not escape


def _write(to: _Fd, data: bytes) -> None:
    while data:
        data = data[os.write(to, data) :]
