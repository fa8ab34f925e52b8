import os
import subprocess
import sys

from bus.pids import reap, start_time


def test_a_live_process_is_told_from_others_by_its_start() -> None:
    assert start_time(os.getpid()) == start_time(os.getpid())
    assert start_time(os.getpid()) is not None


def test_a_process_that_has_ended_has_no_start_be_it_reaped_or_not() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert start_time(child.pid) is None
    reap(child.pid)
    assert start_time(child.pid) is None
    reap(child.pid)
    child.returncode = 0
