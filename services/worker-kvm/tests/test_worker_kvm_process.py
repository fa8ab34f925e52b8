"""A program that outlives its worker: what it finds when it starts."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from worker_kvm.qemu.command import ENVIRONMENT
from worker_kvm.qemu.machine import Process
from worker_kvm.qemu.process import Program, ends, kill, spawn

PATIENCE_S = 120.0

SIGPIPE = 1 << (signal.SIGPIPE - 1)
"""Among the signals of proc(5)."""

_WORDS = (
    "exec >&2; pwd; env; ls -l /proc/self/fd",
    "cut -d' ' -f6 /proc/$$/stat; grep SigIgn /proc/$$/status; echo told",
    "read _ < /proc/self/fd/",
)
TELL = "; ".join(_WORDS)


@pytest.fixture(name="rope")
def pull_rope() -> Iterator[tuple[int, int]]:
    """A pipe: who reads from it goes on when its other end is closed."""
    ours = os.pipe()
    yield ours
    for descriptor in ours:
        os.close(descriptor)


def program(tmp_path: Path, *command: str) -> Program:
    directory = tmp_path / "own"
    directory.mkdir()
    return Program(command, directory, tmp_path / "log", ENVIRONMENT)


def told_of(log: Path, process: Process, rope: tuple[int, int]) -> list[str]:
    """What it has said, once it has ended by itself."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, rope[1])
    os.close(null)
    assert ends(process, PATIENCE_S)
    return log.read_text().splitlines()


def test_a_program_finds_its_directory_and_no_more_of_ours_than_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rope: tuple[int, int]
) -> None:
    monkeypatch.setenv("XENOPS_BROKER", "amqp://user:password@host")
    secret = tmp_path / "secret"
    secret.touch()
    kept = secret.open()
    os.set_inheritable(kept.fileno(), True)  # noqa: FBT003  as it is called
    with kept:
        process = spawn(program(tmp_path, "sh", "-c", f"{TELL}{rope[0]}"), [rope[0]])
    told = told_of(tmp_path / "log", process, rope)
    assert told[0] == str(tmp_path / "own")
    assert any(line.startswith("GLIBC_TUNABLES=") for line in told)
    assert not any("password" in line or line.endswith("/secret") for line in told)
    assert any(f" {rope[0]} -> pipe:" in line for line in told)
    session, ignored, last = told[-3:]
    assert (session, last) == (str(process.pid), "told"), "it leads a session of its own"
    assert int(ignored.split()[1], 16) & SIGPIPE
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_what_it_says_comes_behind_what_is_in_its_log(tmp_path: Path, rope: tuple[int, int]) -> None:
    starts = program(tmp_path, "sh", "-c", f"{TELL}{rope[0]}")
    starts.log.write_text("before\n")
    told = told_of(starts.log, spawn(replace(starts, environment={}), [rope[0]]), rope)
    assert told[0] == "before"
    assert not any("GLIBC_TUNABLES" in line for line in told)


def test_one_that_is_killed_has_ended(tmp_path: Path, rope: tuple[int, int]) -> None:
    process = spawn(program(tmp_path, "sh", "-c", f"read _ < /proc/self/fd/{rope[0]}"), [rope[0]])
    kill(process)
    assert ends(process, PATIENCE_S)
    kill(process)


def test_what_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    starts = program(tmp_path, "no-such-program")
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        spawn(starts, [])
    with pytest.raises(FileNotFoundError, match="no-such-place"):
        spawn(replace(starts, command=["true"], directory=tmp_path / "no-such-place"), [])
