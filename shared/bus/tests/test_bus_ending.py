"""Ending: SIGTERM ends a process whichever of its threads the kernel gives it to."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, threading, time
from pathlib import Path
from bus.ending import await_end, listen
ended = listen()
def sleeps():
    return Path(f"/proc/self/task/{{os.getpid()}}/stat").read_text().rpartition(")")[2].split()[0] == "S"
def take():
    polls = 0
    while polls < 20:
        time.sleep(0.005)
        polls = polls + 1 if sleeps() else 0
    signal.pthread_kill(threading.get_ident(), signal.{name})
    threading.Event().wait()
threading.Thread(target=take, daemon=True).start()
await_end(ended)
print("has ended")
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_another_thread_takes_ends_the_process(name: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(name=name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60.0)
    assert (done.returncode, done.stdout) == (0, "has ended\n"), done.stderr
