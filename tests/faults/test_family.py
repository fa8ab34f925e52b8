"""What a sweep starts ends with it, also what its starter has left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE_S = 120.0
PROGRAM = """
import os, signal, subprocess, sys
sys.path.insert(0, sys.argv[1])
from family import within_family

def program():
    starts = [sys.executable, "-c", '''
import subprocess
print(subprocess.Popen(["sleep", "3600"], stdout=subprocess.DEVNULL, start_new_session=True).pid)
''']
    pid = subprocess.run(starts, stdout=subprocess.PIPE, text=True, check=True).stdout
    try:
        print(os.getpid(), pid, flush=True)
        return int(sys.stdin.readline())
    finally:
        print("bye", flush=True)

sys.exit(within_family(program))
"""
"""One whose child leaves a process behind that is nobody's any more, as a worker leaves QEMU."""


@contextmanager
def running() -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """The family's head, the pid of the program, and a file of what it has left behind."""
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as head:
        assert head.stdout is not None
        program, left = map(int, head.stdout.readline().split())
        file = os.pidfd_open(left)
        try:
            yield head, program, file
        finally:
            os.close(file)
            head.kill()


def assert_gone(file: int) -> None:
    assert select.select([file], [], [], PATIENCE_S)[0], "what was left behind still runs"


def test_what_a_program_leaves_behind_ends_with_it() -> None:
    with running() as (head, _, left):
        head.communicate("7\n", timeout=PATIENCE_S)
        assert head.returncode == 7
        assert_gone(left)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_program_that_is_told_to_end_tidies_up_and_leaves_nothing(number: signal.Signals) -> None:
    with running() as (head, _, left):
        head.send_signal(number)
        assert head.wait(PATIENCE_S) == 128 + signal.SIGTERM
        assert head.stdout is not None
        assert head.stdout.read().split() == ["bye"]
        assert_gone(left)


def test_a_program_that_is_killed_leaves_nothing() -> None:
    with running() as (head, program, left):
        os.kill(program, signal.SIGKILL)
        assert head.wait(PATIENCE_S) == 256 - signal.SIGKILL
        assert_gone(left)


def test_when_its_head_is_killed_a_program_ends() -> None:
    with running() as (head, program, left):
        file = os.pidfd_open(program)
        head.kill()
        assert_gone(file)
        os.close(file)
        signal.pidfd_send_signal(left, signal.SIGKILL)  # whose head is gone, nobody takes over
