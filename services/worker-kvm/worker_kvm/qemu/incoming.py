"""Incoming: a guest's state on its way into a QEMU that waits for it."""

import os
import select
import socket
from collections.abc import Iterable
from contextlib import suppress

from schema.fault import internal_error

from worker_kvm.qemu.live import Live
from worker_kvm.qemu.self_pipe import SelfPipe
from worker_kvm.watched import Status

LOAD_TIMEOUT_S = 60.0
"""How long QEMU may take over what it has already been given."""

_STATE = "state"
"""QEMU's name of the socket."""

_DONE = frozenset({"completed", "failed"})


def receive(live: Live, pieces: Iterable[bytes], *, takes_disks: bool) -> None:
    """Give QEMU a state; its guest then stands still.

    Unless it `takes_disks` at once they are another QEMU's, and not touched, until the guest runs.

    Errors: those of `pieces`; `Internal_error`, QEMU does not take it and may have ended.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            _prepare(live, takes_disks=takes_disks)
            live.give(theirs.fileno(), _STATE)
        with live.moving(lambda: None):
            live.do("migrate-incoming", {"uri": f"fd:{_STATE}"})
            with suppress(ConnectionError):  # why QEMU has hung up is asked below
                for piece in pieces:
                    ours.sendall(piece)
                ours.shutdown(socket.SHUT_WR)
            live.wait(lambda: live.migration in _DONE or live.status is Status.ENDED, LOAD_TIMEOUT_S)
    _see_to_the_end(live)


def receive_itself(live: Live, connection: int) -> None:
    """Let QEMU read a state from another QEMU's host by itself; its guest then stands still.

    The disks are the other QEMU's, and not touched, until the guest runs. QEMU reads its stream to the last
    byte and no further, and the connection is non-blocking then.

    Errors: `Internal_error`, QEMU does not take it and may have ended, or the connection was shut, on either
    side, whatever QEMU does.
    """
    _prepare(live, takes_disks=False)
    live.give(connection, _STATE)
    with SelfPipe() as pipe, live.moving(pipe.wake):
        live.do("migrate-incoming", {"uri": f"fd:{_STATE}"})
        _await_the_end(live, connection, pipe)
    os.set_blocking(connection, False)
    _see_to_the_end(live)


def _await_the_end(live: Live, connection: int, pipe: SelfPipe) -> None:
    poll, is_shut = select.poll(), False
    poll.register(pipe, select.POLLIN)
    poll.register(connection, select.POLLRDHUP)
    while not (live.migration in _DONE or live.status is Status.ENDED):
        if is_shut:
            raise internal_error("the connection was shut before all of the guest's state had come")
        is_shut = any(file == connection for file, _ in poll.poll())
        pipe.drain()


def announce(live: Live) -> None:
    """Have the guest's interfaces tell the network where they are now."""
    live.do("announce-self", {"initial": 50, "max": 550, "rounds": 5, "step": 100})


def _see_to_the_end(live: Live) -> None:
    if live.migration != "completed" or live.status is Status.ENDED:
        raise internal_error(f"QEMU does not take its state: {live.complaint() or 'it does not say why'}")


def _prepare(live: Live, *, takes_disks: bool) -> None:
    """Its interfaces tell the network once where they are, by QEMU itself; more is `announce`'s.

    With no announcement at all QEMU 7.2 gives up the timer for them, and ends by a fault of memory when a
    guest resets a card, as Linux does when it powers off or reboots.
    """
    wanted = {"events": True, "late-block-activate": not takes_disks}
    capabilities = [{"capability": name, "state": state} for name, state in wanted.items()]
    live.do("migrate-set-capabilities", {"capabilities": capabilities})
    live.do("migrate-set-parameters", {"announce-rounds": 1})
