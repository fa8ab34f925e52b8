"""The disk under a worker's journal and metadata is full: tasks fail in words, and nothing is half done."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from history import History, read_tale
from load import add_vm, await_end, is_valid
from room import HERE, PATIENCE_S, Part, Room, usual_parts
from schema.fault import XenopsError
from schema.ids import TaskId
from schema.objects.vm import PowerState
from stack.broker.node import PrivateNode

SMALL = """\
mkdir -p {state}/small && mount -t tmpfs -o size=256k tmpfs {state}/small && mkdir {state}/small/journal &&
ln -s small/journal {state}/journal && exec "$@"
"""
"""A disk that only the worker sees, for all that it must note."""


@pytest.fixture(name="room", scope="module")
def open_room(place: Path, node: PrivateNode) -> Iterator[Room]:
    if os.geteuid():
        pytest.skip("only root may mount a small disk")
    state = place / "here" / "state"
    wrap = ("unshare", "--mount", "sh", "-c", SMALL.format(state=state), "worker")
    told = {"XENOPS_METADATA_DIR": str(state / "small" / "metadata")}
    others = (part for part in usual_parts() if part.name != "worker")
    room = Room(place, node.url, (*others, Part("worker", "worker_sim", (HERE,), told, wrap)))
    try:
        room.open()
        yield room
    finally:
        room.close()


class Disk:
    """The worker's small disk, as seen through its own mounts."""

    def __init__(self, room: Room) -> None:
        process = room.processes["worker"].pid
        self._filler = Path(f"/proc/{process}/root{room.place(HERE)}/state/small/filler")

    def fill(self) -> None:
        with self._filler.open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError:
                    return

    def clear(self) -> None:
        self._filler.unlink()


def test_a_full_disk_fails_tasks_in_words_and_all_is_well_afterwards(room: Room) -> None:
    client, disk = room.client(timeout_s=PATIENCE_S), Disk(room)
    vms = [f"vm-{number}" for number in range(5)]
    for vm in vms:
        add_vm(client, vm)
    assert await_end(client, TaskId(int(client.vm.start(vms[0]))))
    disk.fill()
    try:
        tasks = [TaskId(int(client.vm.start(vm))) for vm in vms[1:]]
        tasks.append(TaskId(int(client.vm.shutdown(vms[0], None))))
        assert [await_end(client, task) for task in tasks] == [False] * len(tasks)
        with pytest.raises(XenopsError, match=r"[Nn]o space left"):
            add_vm(client, "one-too-many")
    finally:
        disk.clear()
    assert [client.vm.stat(vm)[1].power_state for vm in vms] == [PowerState.RUNNING] + [PowerState.HALTED] * 4
    assert all(is_valid(client, vm) for vm in vms)
    assert all(await_end(client, TaskId(int(client.vm.start(vm)))) for vm in vms[1:])
    assert "make room" in str(client.task.stat(str(tasks[0])).state)
    assert room.bug() == ""


def test_a_disk_that_fills_up_while_a_vm_is_worked_on_loses_no_end(room: Room) -> None:
    client, disk = room.client(timeout_s=PATIENCE_S), Disk(room)
    history = History(room.url, HERE)
    tasks: list[str] = []
    working = threading.Event()

    def work() -> None:
        for number in range(40):
            tasks.append(client.vm.start(f"vm-{number % 5}"))
            tasks.append(client.vm.shutdown(f"vm-{number % 5}", None))
            working.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert working.wait(PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while thread.is_alive() and time.monotonic() < deadline:
        disk.fill()
        disk.clear()
    thread.join()
    assert None not in [await_end(client, TaskId(int(task))) for task in tasks]
    wanted = {TaskId(int(task)) for task in tasks}
    assert history.wait(lambda log: wanted <= set(read_tale(log).ended), PATIENCE_S)
    tale = read_tale(history.entries)
    history.close()
    assert (tale.open(), tale.overlaps) == (set(), [])
    assert all(is_valid(client, f"vm-{number}") for number in range(5))
    assert room.bug() == ""
