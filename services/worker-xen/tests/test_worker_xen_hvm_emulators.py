"""Device models are known by their directory, whoever started them, and no other process is taken for one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from worker_xen.classic.hvm.command import marker
from worker_xen.classic.hvm.emulators import Emulators

WAITS = "import sys; print(flush=True); sys.stdin.read()"
"""It says when it has begun: only then its command line can be read."""

HAS_MUCH = f"import os; os.posix_fallocate(os.memfd_create('much'), 0, 256 << 20); {WAITS}"
"""It has a file open that takes the kernel a while to let go of."""


@pytest.fixture(name="emulators")
def make_emulators(tmp_path: Path) -> Iterator[Emulators]:
    emulators = Emulators(tmp_path)
    yield emulators
    emulators.close()


@pytest.fixture(name="model")
def start_a_process_that_names_its_directory(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """As a device model of domain 7; what is needed for no more than to be known."""
    (tmp_path / "7").mkdir()
    words = [sys.executable, "-c", WAITS, "-pidfile", marker(tmp_path / "7")]
    with started(words) as process:
        yield process
        process.kill()


@contextmanager
def started(words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def tell(directory: Path, pid: int) -> None:
    """It has come up, and written down its number."""
    Path(marker(directory)).write_text(f"{pid}\n")
    (directory / "ready").touch()


def test_one_that_has_come_up_is_there_by_the_number_that_it_has_written(
    emulators: Emulators, tmp_path: Path, model: subprocess.Popen[bytes]
) -> None:
    assert not emulators.is_there(7)
    tell(tmp_path / "7", model.pid)
    assert emulators.is_there(7)
    emulators.end(7)
    assert model.wait() == -9
    assert not emulators.is_there(7)
    assert not (tmp_path / "7").exists()


def test_a_number_that_another_process_has_by_now_is_none(
    emulators: Emulators, tmp_path: Path, model: subprocess.Popen[bytes]
) -> None:
    with started([sys.executable, "-c", WAITS]) as other:
        tell(tmp_path / "7", other.pid)
        assert not emulators.is_there(7)
        emulators.end(7)
        assert other.poll() is None
        other.kill()
    assert model.poll() is None


@pytest.mark.parametrize("words", [None, "", "no number"])
def test_one_that_has_taken_its_number_back_is_not_there(
    emulators: Emulators, tmp_path: Path, words: str | None
) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "ready").touch()
    if words is not None:
        Path(marker(tmp_path / "7")).write_text(words)
    assert not emulators.is_there(7)


def test_one_whose_start_broke_off_is_found_without_a_number(
    emulators: Emulators, model: subprocess.Popen[bytes]
) -> None:
    assert not emulators.is_there(7)
    emulators.end(7)
    assert model.wait() == -9


def test_one_that_was_ended_has_let_go_of_all_that_it_had_open(emulators: Emulators, tmp_path: Path) -> None:
    """A process that is killed loses its command line first, and what it has open some moments later."""
    (tmp_path / "7").mkdir()
    with started([sys.executable, "-c", HAS_MUCH, "-pidfile", marker(tmp_path / "7")]) as model:
        tell(tmp_path / "7", model.pid)
        emulators.end(7)
        ended = os.waitid(os.P_PID, model.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        assert ended is not None
