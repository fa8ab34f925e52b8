"""A XenAPI task's record from its making to its end."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from xenops.toolstack import MemoryDatabase, XenApiFailure, XenApiTask

AT = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase()


@pytest.fixture
def task(database: MemoryDatabase) -> XenApiTask:
    return XenApiTask(database, "VM.start", lambda: AT)


def record(database: MemoryDatabase, task: XenApiTask) -> Mapping[str, Any]:
    return database.fields("task", task.ref)


def test_a_task_is_pending_and_then_a_success(database: MemoryDatabase, task: XenApiTask) -> None:
    assert record(database, task)["status"] == "pending"
    task.progressed(0.5, cancellable=True)
    assert record(database, task)["progress"] == 0.5
    assert record(database, task)["allowed_operations"] == ["cancel"]
    task.progressed(0.6, cancellable=False)
    assert record(database, task)["allowed_operations"] == []
    task.completed(None)
    ended = record(database, task)
    assert (ended["status"], ended["progress"], ended["result"]) == ("success", 1.0, "")
    assert ended["finished"] == "20261124T12:00:00Z"
    task.completed("<value/>")
    assert record(database, task)["result"] == "<value/>"


@pytest.mark.parametrize(
    ("error", "status", "info"),
    [
        (XenApiFailure("TASK_CANCELLED", "7"), "cancelled", ["TASK_CANCELLED", "7"]),
        (XenApiFailure("VDI_IO_ERROR"), "failure", ["VDI_IO_ERROR"]),
        (OSError("no way"), "failure", ["INTERNAL_ERROR", "no way"]),
    ],
)
def test_a_task_that_fails_says_why(
    database: MemoryDatabase, task: XenApiTask, error: Exception, status: str, info: list[str]
) -> None:
    task.failed(error)
    assert (record(database, task)["status"], record(database, task)["error_info"]) == (status, info)


def test_a_task_is_cancelled_now_or_as_soon_as_it_runs(task: XenApiTask) -> None:
    stopped: list[str] = []
    task.cancel()
    task.runs(lambda: stopped.append("first step"))
    task.runs(lambda: stopped.append("second step"))
    task.cancel()
    assert stopped == ["first step", "second step", "second step"]
    task.completed(None)
    task.cancel()
    assert len(stopped) == 3
