"""Network: taps on bridges, perhaps in a network namespace of their own. The only importer of pyroute2.

A tap is an open file: the kernel removes it when the last process that holds it ends, so that whatever
becomes of a worker or a QEMU, no tap is left behind.
"""

import errno
import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from engine.hosted.nft import list_chains, run_script
from engine.hosted.port_rules import PortRules, clearing, setting, taps_of
from engine.hosted.tap import TUN, attach_to_tap
from pyroute2 import IPRoute, netns  # type: ignore[import-untyped]
from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]
from schema.fault import XenopsError
from schema.objects.errors import DoesNotExist

_NAMESPACES = Path("/run/netns")

_TAP_BUSY_S = 10.0
"""How long another holder of a tap may take to end."""

_TAP_BUSY_POLL_S = 0.02

T = TypeVar("T")


class NetworkError(Exception):
    """The host's network cannot be changed as wanted; the sentence says what, and what to do."""


@dataclass(frozen=True, slots=True)
class TapSettings:
    """A tap: its name, the bridge it is a port of, the largest packet, and what may pass (None: all)."""

    name: str
    bridge: str
    mtu: int
    rules: PortRules | None = None


class Network:
    """Where the taps are: the host's own network, or that of a namespace."""

    def __init__(self, namespace: str | None = None) -> None:
        self._namespace = namespace

    def open_tap(self, settings: TapSettings) -> int:
        """Make a tap; answers its open file, which the caller gives to QEMU and closes.

        Raises:
            XenopsError: `Does_not_exist("bridge", name)`.
            NetworkError: no right to make one, or the name is taken.
        """
        return self._inside(lambda: _open_tap(settings), f"make the tap {settings.name}")

    def move_tap(self, name: str, bridge: str) -> None:
        """Make a tap a port of another bridge. Errors as of `open_tap`."""

        def move() -> None:
            with IPRoute() as route:
                route.link("set", index=_index(route, name, "interface"), master=_bridge(route, bridge))

        self._inside(move, f"connect the tap {name} to the bridge {bridge}")

    def set_rules(self, rules: PortRules) -> None:
        """Have a tap, which is there, let pass what these rules say. Errors: `NetworkError`."""
        self._inside(lambda: run_script(setting(rules)), f"set what the tap {rules.tap} lets pass")

    def clear_rules(self, *taps: str) -> None:
        """Remove the rules of taps, which may be gone already. Errors: `NetworkError`."""
        self._inside(
            lambda: run_script(clearing(list_chains(), taps)), f"remove the rules of {', '.join(taps)}"
        )

    def clear_stale_rules(self) -> None:
        """Remove the rules of taps that are no more: a kernel may keep them. Errors: `NetworkError`."""
        self._inside(_clear_stale_rules, "remove the rules of taps that are gone")

    def make_bridges(self, names: tuple[str, ...]) -> None:
        """Make bridges, those that are not there, and bring them up. Errors: `NetworkError`."""
        self._inside(lambda: _make_bridges(names), f"make the bridges {', '.join(names)}")

    def _inside(self, act: Callable[[], T], what: str) -> T:
        """Do something in the namespace; a thread's entering one changes nothing for other threads."""
        try:
            return act() if self._namespace is None else _in_namespace(self._namespace, act)
        except (OSError, NetlinkError) as error:
            remedy = "the worker needs CAP_NET_ADMIN and /dev/net/tun; or set XENOPS_KVM_NETWORK=user"
            raise NetworkError(f"cannot {what}: {error}; {remedy}") from error


def make_namespace(name: str, *bridges: str) -> None:
    """Make a network namespace with these bridges; what is there already stays.

    Raises:
        NetworkError: no right to make one.
    """
    if not (_NAMESPACES / name).exists():
        _ip("netns", "add", name)
    Network(name).make_bridges(bridges)


def remove_namespace(name: str) -> None:
    """Remove a network namespace with all that is in it; there is none, nothing to do.

    Raises:
        NetworkError: no right to remove it.
    """
    if (_NAMESPACES / name).exists():
        _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    """iproute2's way, for what pyroute2 does in a forked child that leaves files open."""
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise NetworkError(f"cannot run `ip`: {error.strerror}; install iproute2") from error
    if done.returncode:
        words = f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}"
        raise NetworkError(f"{words}; network namespaces need root (CAP_SYS_ADMIN)")


def _open_tap(settings: TapSettings) -> int:
    with IPRoute() as route:
        bridge = _bridge(route, settings.bridge)
        descriptor = os.open(TUN, os.O_RDWR | os.O_CLOEXEC)
        try:
            _attach_patiently(descriptor, settings.name)
            tap = _index(route, settings.name, "interface")
            if settings.rules is not None and not settings.rules.is_open:
                run_script(setting(settings.rules))  # before the first frame can pass
            route.link("set", index=tap, mtu=settings.mtu)
            route.link("set", index=tap, master=bridge, state="up")
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _attach_patiently(descriptor: int, name: str) -> None:
    """Make a tap, or take the one of that name; whose QEMU was killed, the kernel holds for a moment yet."""
    end = time.monotonic() + _TAP_BUSY_S
    while True:
        try:
            attach_to_tap(descriptor, name)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > end:
                raise
            time.sleep(_TAP_BUSY_POLL_S)
        else:
            return


def _clear_stale_rules() -> None:
    chains = list_chains()
    with IPRoute() as route:
        gone = [tap for tap in taps_of(chains) if not route.link_lookup(ifname=tap)]
    run_script(clearing(chains, gone))


def _make_bridges(names: tuple[str, ...]) -> None:
    with IPRoute() as route:
        route.link("set", index=_index(route, "lo", "interface"), state="up")
        for name in names:
            if not route.link_lookup(ifname=name):
                route.link("add", ifname=name, kind="bridge", br_stp_state=0, br_forward_delay=0)
            route.link("set", index=_bridge(route, name), state="up")


def _bridge(route: Any, name: str) -> int:
    return _index(route, name, "bridge")


def _index(route: Any, name: str, kind: str) -> int:
    found = route.link_lookup(ifname=name)
    if not found:
        raise XenopsError(DoesNotExist(klass=kind, id=name))
    return int(found[0])


def _in_namespace(name: str, act: Callable[[], T]) -> T:
    """Run `act` in a thread of its own that has entered the namespace."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            netns.setns(name)
            outcome.append(act())
        except BaseException as error:  # noqa: BLE001  a thread's top: raised again where it is awaited
            failure.append(error)

    thread = threading.Thread(target=enter, name=f"netns-{name}")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
