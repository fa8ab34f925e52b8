"""Tutorials are true: their commands are typed into a shell, and what it answers is what they show."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pexpect
import pytest
from stack.layout import Layout
from stack.local import LocalStack

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROMPT, GUEST, LEAVE = "tutorial-is-ready> ", "/ # ", "\x1d"
PATIENCE_S = 180.0
ENTER_AGAIN_S = 2.0

DIFFERS = (
    (r"\x1b\[[0-9;?]*[a-zA-Z]", ""),
    (r"^.*\r", ""),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r"/\S*/var/", "/…/var/"),
    (r"\d+(\.\d+)? ?m?s\b( \(\d+:\d\d:\d\d\))?", "TIME"),
    (r"\d+(\.\d+){1,2}", "VERSION"),
    (r"emulating their processors, as KVM boots no guest here", "on KVM"),
    (r", (as this user|each with a user of its own among \S+)$", ", WHOSE"),
    (r"\b(tcg|kvm)\)", "ACCELERATOR)"),
    (r"\s+$", ""),
)
"""What is another each time, or on each machine, and what it is read as."""


class Step(NamedTuple):
    """A command, what is typed into the guest that it leads to, and the lines that it answers."""

    command: str
    typed: tuple[str, ...]
    answer: tuple[str, ...]


def steps(text: str) -> Iterator[Step]:
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *lines = part.splitlines()
            more = [line[2:] for line in lines if line.startswith("> ")]
            answer = [line for line in lines if not line.startswith("> ")]
            typed = [line.removeprefix(GUEST) for line in answer if line.startswith(GUEST)]
            yield Step("\n".join([first, *more]), tuple(typed), tuple(answer))


def alike(line: str) -> str:
    for pattern, word in DIFFERS:
        line = re.sub(pattern, word, line)
    return line


def pattern_of(answer: tuple[str, ...]) -> re.Pattern[str]:
    """What an answer must match; a line of three dots stands for any lines."""
    return re.compile(
        "".join(r"(?:.*\n)*?" if line == "..." else re.escape(alike(line)) + "\n" for line in answer)
    )


@pytest.fixture(name="place")
def make_place() -> Iterator[Path]:
    """The repository as a user has it, but with a `var` of its own."""
    place = Path(tempfile.mkdtemp(prefix="xt-"))
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in sorted({".venv", *(path.split("/")[0] for path in listed.stdout.split())}):
        (place / name).symlink_to(ROOT / name)
    (place / "var").mkdir()
    (place / "var" / "guest").symlink_to(ROOT / "var" / "guest")
    yield place
    LocalStack(Layout(place / "var" / "stack")).down()
    shutil.rmtree(place)


@pytest.fixture(name="shell")
def open_shell(place: Path) -> Iterator["pexpect.spawn[str]"]:
    told = {"PATH": os.environ["PATH"], "HOME": str(place), "TERM": "xterm", "LANG": "C.UTF-8"}
    bash = ["--norc", "--noprofile", "--noediting", "-i"]
    shell = pexpect.spawn(
        "bash", bash, cwd=str(place), env=told, encoding="utf-8", echo=False, dimensions=(50, 150)
    )
    shell.timeout = PATIENCE_S
    shell.sendline(f"PS2= PS1='{PROMPT}'")
    shell.expect_exact(PROMPT)
    yield shell
    shell.close(force=True)


def answer_to(step: Step, shell: "pexpect.spawn[str]") -> str:
    shell.sendline(step.command)
    told = in_guest(step.typed, shell) if step.typed else None
    shell.expect_exact(PROMPT)
    return shell.before or "" if told is None else told


def in_guest(typed: tuple[str, ...], shell: "pexpect.spawn[str]") -> str:
    """What a console shows while one types into it, after the guest's shell has answered; then it is left."""
    shell.expect_exact("leaves it\r\n")
    told = f"{shell.before}leaves it\r\n"
    patience = int(PATIENCE_S / ENTER_AGAIN_S)
    while shell.expect_exact([GUEST, pexpect.TIMEOUT], timeout=ENTER_AGAIN_S) and patience:
        patience -= 1
        shell.send("\r")
    shell.send("echo ready-$((6*7))\r")
    shell.expect_exact(f"ready-42\r\n{GUEST}")
    for line in typed:
        shell.send(f"{line}\r")
        shell.expect_exact(f"\n{GUEST}")
        told += f"{GUEST}{shell.before}\n"
    shell.send(LEAVE)
    return told


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_what_a_tutorial_says_happens(tutorial: Path, shell: "pexpect.spawn[str]") -> None:
    followed = list(steps(tutorial.read_text()))
    assert followed
    for step in followed:
        lines = answer_to(step, shell).replace("\r\n", "\n").splitlines()
        told = "".join(f"{alike(line)}\n" for line in lines)
        assert pattern_of(step.answer).fullmatch(told), f"$ {step.command}\nanswered:\n{told}"
