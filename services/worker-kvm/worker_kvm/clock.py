"""Clock: how far a guest's clock is from UTC, as configured and as its guest has set it; values and no I/O.

All offsets are whole seconds, as those of the hardware clock that QEMU emulates, which may be one off.
"""

import re
from calendar import timegm
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from engine.hosted.machine import HostedMachine
from schema.fault import internal_error
from schema.objects.vm import Hvm, Vm

UTC_BASE = "utc"
"""QEMU's word for no offset."""

_SECONDS = re.compile(r"-?[0-9]{1,9}")
_SECONDS_MAX = 999_999_999

_UNSURE_S = 2
"""A clock that has whole seconds, read and set between them: what differs by no more is the same."""

MachineT = TypeVar("MachineT", bound=HostedMachine[Any, Any, Any])


def configured_s(vm: Vm) -> int:
    """What a VM's clock begins with: `timeoffset`, an HVM guest's own or else the platform's.

    Errors: `Internal_error`, it is no number of seconds.
    """
    seconds = _configured_or_none(vm)
    if seconds is None:
        raise internal_error(
            f"VM {vm.id} has the timeoffset {_configured(vm)[:20]!r}: give seconds, of nine digits at most"
        )
    return seconds


def shown(vm: Vm, clock_s: int) -> str:
    """What clients are told of it, so that they begin with it next time; nothing where none was ever said."""
    return _told(vm) if clock_s == _configured_or_none(vm) else str(clock_s)


def base(clock_s: int, now_s: float) -> str:
    """Where QEMU's clock begins that is started now."""
    if clock_s == 0:
        return UTC_BASE
    return datetime.fromtimestamp(int(now_s) + clock_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def first_s(set_s: int | None, vm: Vm) -> int:
    """Where the clock of a new domain begins, whose guest has set it so before. Errors: `configured_s`'s."""
    return configured_s(vm) if set_s is None else set_s


def ahead_s(told: Mapping[str, int], now_s: float) -> int:
    """How far from UTC a clock is that says this, in C's words: years from 1900, months from 0."""
    days = (1900 + told["tm_year"], 1 + told["tm_mon"], told["tm_mday"])
    return timegm((*days, told["tm_hour"], told["tm_min"], told["tm_sec"])) - int(now_s)


def with_clock(machine: MachineT, clock_s: int) -> MachineT:
    """With a clock that its guest has set; guests set any: what no VM can begin with is passed over."""
    domain = machine.domain
    if domain is None or abs(clock_s) > _SECONDS_MAX or abs(clock_s - domain.clock_s) <= _UNSURE_S:
        return machine
    return machine.with_domain(clock_s=clock_s).but(clock_s=clock_s)


def _told(vm: Vm) -> str:
    return vm.ty.info.timeoffset if isinstance(vm.ty, Hvm) else ""


def _configured(vm: Vm) -> str:
    return _told(vm) or dict(vm.platformdata).get("timeoffset", "")


def _configured_or_none(vm: Vm) -> int | None:
    text = _configured(vm)
    return int(text or 0) if not text or _SECONDS.fullmatch(text) else None
