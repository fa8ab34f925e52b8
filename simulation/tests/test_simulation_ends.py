"""A run of seeds that is killed leaves no process that goes on with them."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATIENCE_S = 120.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_processes_of_a_run_end_with_it(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "simulation", "--seeds", "1000000", "--jobs", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
        worker = os.pidfd_open(child_of(run.pid))
        run.send_signal(number)
        assert run.wait(PATIENCE_S) == -number
        assert select.select([worker], [], [], PATIENCE_S)[0], "it goes on"
        os.close(worker)


def child_of(pid: int) -> int:
    """Its first child, once it has one."""
    children, end = Path(f"/proc/{pid}/task/{pid}/children"), time.monotonic() + PATIENCE_S
    while not (words := children.read_text().split()):
        assert time.monotonic() < end, "it has no children"
    return int(words[0])
