"""The demo, as a new user runs it: on QEMU where it can, on the simulator, broken, and interrupted."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from stack.layout import Layout
from worker_kvm.accelerator import QemuMissingError, find_qemu

from stack import remains

GUEST = Path(__file__).parents[2] / "var" / "guest"
SIMULATOR = {"XENOPS_STACK_BACKEND": "simulator"}
PROMISES = ("one domain id: ", "VBDs active and plugged: 2 of 2", "VIFs active and plugged: 1 of 1")


@pytest.fixture(name="root")
def make_root() -> Iterator[Path]:
    """Where the demo's directory will be; the guest is beside it."""
    directory = Path(tempfile.mkdtemp(prefix="xs-"))
    (directory / "guest").symlink_to(GUEST)
    yield directory
    layout = Layout(directory / "demo")
    assert remains.processes(layout) == []
    assert not remains.has_namespace(layout)
    shutil.rmtree(directory)


def begin(root: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """As at a terminal: who runs tests in the background may ignore Ctrl and C, and so would a child."""
    command = [sys.executable, "-m", "stack", "--root", str(root / "stack"), "demo"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def run(root: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    demo = begin(root, environment)
    said, _ = demo.communicate()
    return demo.returncode, said


def until(demo: subprocess.Popen[str], words: str) -> None:
    assert demo.stdout is not None
    assert any(words in line for line in demo.stdout)


def qemu_runs() -> bool:
    try:
        find_qemu()
    except QemuMissingError:
        return False
    return (GUEST / "vmlinuz").exists()


@pytest.mark.skipif(not qemu_runs(), reason="QEMU or the guest is not there: `make setup` installs both")
def test_the_demo_starts_a_real_vm_shows_its_userland_and_leaves_nothing(root: Path) -> None:
    code, said = run(root, {})
    assert code == 0, said
    assert "console | xenops guest: userland is up" in said
    assert all(f"kept    {promise}" in said for promise in PROMISES)
    assert "kept    power state Paused" in said
    assert "kept    power state Running" in said
    assert "console | xenops guest: power button" in said
    assert "nothing is left behind" in said
    assert not (root / "demo").exists()


def test_on_the_simulator_the_demo_says_so_and_clears_up_after_one_that_was_killed(root: Path) -> None:
    killed = begin(root, SIMULATOR)
    until(killed, "they answer after")
    killed.kill()
    killed.communicate()
    assert remains.processes(Layout(root / "demo"))
    code, said = run(root, SIMULATOR)
    assert code == 0, said
    assert "the simulator serves alone" in said
    assert all(f"kept    {promise}" in said for promise in PROMISES)
    assert not (root / "demo").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_interrupted_ends_what_it_started(root: Path, number: signal.Signals) -> None:
    demo = begin(root, SIMULATOR)
    until(demo, "they answer after")
    demo.send_signal(number)
    said, _ = demo.communicate()
    assert demo.returncode == 130
    assert "nothing is left behind" in said
    assert not (root / "demo").exists()


def test_a_demo_whose_reader_goes_away_ends_what_it_started(root: Path) -> None:
    demo = begin(root, SIMULATOR)
    until(demo, "they answer after")
    assert demo.stdout is not None
    demo.stdout.close()
    assert demo.wait() == 130
    assert not (root / "demo").exists()


def test_two_demos_do_not_end_each_others_processes(root: Path) -> None:
    first = begin(root, SIMULATOR)
    until(first, "the simulator serves alone")
    code, said = run(root, SIMULATOR)
    assert (code, "another demo holds" in said) == (1, True)
    first.communicate()
    assert first.returncode == 0


def test_a_service_that_does_not_come_up_is_shown_with_the_end_of_its_log(root: Path) -> None:
    code, said = run(root, {**SIMULATOR, "XENOPS_CAPACITY": "many"})
    assert code == 1
    assert "worker-sim has ended" in said
    assert "XENOPS_CAPACITY is 'many'" in said
    assert "nothing is left behind" in said
    assert (root / "demo" / "log" / "worker-sim.log").exists()
