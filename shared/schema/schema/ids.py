"""Identifiers: which strings may name a VM or a device, and the integers that the log gives out."""

import re
from typing import NewType

from schema.numbers import decimal
from schema.wire.types import DeviceId, VmId

__all__ = [
    "DeviceId",
    "InstanceName",
    "LeaseToken",
    "Offset",
    "TaskId",
    "Term",
    "VmId",
    "WorkerName",
    "is_safe_name",
    "read_task_id",
]

InstanceName = NewType("InstanceName", str)
"""One backend on one host; also the name of the queue that clients address."""

WorkerName = NewType("WorkerName", str)
"""One worker process's lasting name; survives its restarts."""

Offset = NewType("Offset", int)
"""A record's place in the log."""

TaskId = NewType("TaskId", int)
"""The offset of a task's `Submitted`; a decimal string on the wire."""

LeaseToken = NewType("LeaseToken", int)
"""The offset of a `Leased`: a higher one fences a lower one."""

Term = NewType("Term", int)
"""The offset of an `Elected`: leases of an older term are void."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_safe_name(name: str) -> bool:
    """Whether `name` may become a file name and a routing key."""
    return _SAFE_NAME.fullmatch(name) is not None and ".." not in name


_OFFSET_MAX = (1 << 63) - 1


def read_task_id(text: str) -> TaskId | None:
    """The task id that a text is, if it is one; the original compares texts, so `007` is none."""
    number = decimal(text, _OFFSET_MAX)
    return TaskId(number) if number is not None and str(number) == text else None
