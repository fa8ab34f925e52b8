"""Bridging: a domain's interfaces as dom0's kernel has them, by iproute2's `ip`."""

import subprocess
from pathlib import Path

from schema.fault import internal_error

_INTERFACES = Path("/sys/class/net")
_TIMEOUT_S = 30.0


def end_of(domid: int, position: int) -> str:
    """What Xen's scripts call an interface's end in dom0."""
    return f"vif{domid}.{position}"


def there(name: str) -> list[str]:
    """The ends of that name that are there: of the guest's driver, and of an emulated card."""
    return [end for end in (name, f"{name}-emu") if (_INTERFACES / end).exists()]


def refuse_without_bridge(bridge: str) -> None:
    """Errors: `Internal_error` that names the bridge."""
    if "/" in bridge or not (_INTERFACES / bridge / "bridge").exists():
        raise internal_error(
            f"There is no bridge {bridge!r} on this host: make it, or correct the VIF's network"
        )


def connect(end: str, bridge: str) -> None:
    """Put an end on a bridge. Errors: `Internal_error` with `ip`'s words."""
    _ip("link", "set", "dev", end, "master", bridge)


def set_carrier(end: str, *, carrier: bool) -> None:
    """Let frames through, or not. Errors: `Internal_error` with `ip`'s words."""
    _ip("link", "set", "dev", end, "up" if carrier else "down")


def _ip(*words: str) -> None:
    try:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise internal_error(f"Cannot run `ip {' '.join(words)}`: {error}; is iproute2 installed?") from error
    if done.returncode:
        raise internal_error(f"`ip {' '.join(words)}` failed: {done.stderr.strip()}")
