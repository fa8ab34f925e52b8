import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from bus.pids import start_time
from stack.layout import Layout
from stack.processes import Running, StackError, end, known, last_words, running, runs_as, spawn, stop
from stack.shape import Process

from stack import processes, remains

PATIENCE_S = 120.0
READY = "import signal, sys; print('ready', flush=True); "


def python(code: str, **environment: str) -> Process:
    return Process("sleeper", (sys.executable, "-c", code), environment)


SLEEPER = python(READY + "signal.pause()")
STUBBORN = python("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "signal.pause()")


def spawned(process: Process, layout: Layout) -> Running:
    """Start it and wait for its first word."""
    found = spawn(process, layout)
    attempts = threading.Event()
    for _ in range(400):
        if "ready" in layout.log(process.name).read_text():
            return found
        attempts.wait(PATIENCE_S / 400)
    pytest.fail("the process does not come up")


def test_a_process_is_known_by_its_name_until_it_is_stopped(layout: Layout) -> None:
    found = spawned(SLEEPER, layout)
    assert running("sleeper", layout) == found
    assert known(layout) == ["sleeper"]
    assert stop(["sleeper"], layout) == ["sleeper"]
    assert running("sleeper", layout) is None
    assert known(layout) == []
    assert stop(["sleeper", "other"], layout) == []


def test_a_process_that_died_is_known_and_does_not_run(layout: Layout) -> None:
    os.kill(spawned(SLEEPER, layout).pid, signal.SIGKILL)
    end([], signal.SIGKILL, PATIENCE_S)
    attempts = threading.Event()
    while running("sleeper", layout) is not None:
        attempts.wait(0.01)
    assert known(layout) == ["sleeper"]
    assert not runs_as(SLEEPER, layout)


def test_a_pid_that_is_used_again_is_nobody_of_ours(layout: Layout) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    layout.pid("sleeper").write_text(f"{stranger.pid} 1 fingerprint\n")
    assert running("sleeper", layout) is None
    assert stop(["sleeper"], layout) == []
    end([Running(stranger.pid, 1)], signal.SIGKILL, 0.0)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


@pytest.mark.parametrize("content", [b"", b"garbage", b"1 2", b"-1 x y", b"\xff\xfe", b"999999999 1 f"])
def test_a_pid_file_that_makes_no_sense_is_of_no_process(layout: Layout, content: bytes) -> None:
    layout.pid("sleeper").write_bytes(content)
    assert running("sleeper", layout) is None
    assert stop(["sleeper"], layout) == []
    assert not layout.pid("sleeper").exists()


def test_a_process_that_would_be_started_otherwise_now_is_told_apart(layout: Layout) -> None:
    spawned(SLEEPER, layout)
    assert runs_as(SLEEPER, layout)
    assert not runs_as(python(SLEEPER.command[-1], XENOPS_BROKER="another"), layout)


def test_a_process_that_does_not_listen_is_ended_by_force(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_TIMEOUT_S", 0.05)
    found = spawned(STUBBORN, layout)
    assert stop(["sleeper"], layout) == ["sleeper"]
    assert start_time(found.pid) is None


def test_a_command_that_is_not_there_is_told(layout: Layout) -> None:
    with pytest.raises(StackError, match="cannot start sleeper"):
        spawn(Process("sleeper", ("/nowhere/python",), {}), layout)


def test_last_words_are_the_end_of_the_log(layout: Layout) -> None:
    assert "has written nothing" in last_words("sleeper", layout)
    layout.log("sleeper").write_text("".join(f"line {number}\n" for number in range(10_000)))
    words = last_words("sleeper", layout)
    assert str(layout.log("sleeper")) in words
    assert words.endswith("line 9999")
    assert len(words.splitlines()) == processes.LOG_LINES + 1


def test_children_of_a_process_are_traces_of_the_stack_even_when_no_file_knows_them(layout: Layout) -> None:
    code = "import subprocess, sys; subprocess.Popen(['sleep', '600']); " + READY
    spawned(python(code), layout)
    attempts = threading.Event()
    while running("sleeper", layout) is not None:
        attempts.wait(0.01)
    stop(known(layout), layout)
    (orphan,) = remains.processes(layout)
    assert Path(f"/proc/{orphan.pid}/comm").read_text().strip() == "sleep"
    end([orphan], signal.SIGKILL, PATIENCE_S)
    assert remains.processes(layout) == []


def test_temporary_files_are_kept_below_the_root(layout: Layout) -> None:
    code = "import tempfile; print(tempfile.gettempdir()); " + READY
    spawned(python(code), layout)
    assert layout.log("sleeper").read_text().splitlines()[0] == str(layout.temporary)
