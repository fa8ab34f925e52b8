"""Output: the words by which a bootloader is started, and what it has found by its own; values and no I/O.

What it says comes from a guest's disk: it is believed only as far as it names files in its own directory.
"""

import posixpath
from dataclasses import dataclass

PYGRUB = "pygrub"

OUT = "/out"
"""Where a bootloader puts what it fetches, as it sees it itself."""

DISK = "/disk"
"""The guest's disk, as it sees it."""

TEXT_BYTES_MAX = 64 << 10
"""Of what it says, more than any command line of a kernel has."""

_PREFIX = "RuntimeError: "
"""How a bootloader in Python ends that has a reason to tell."""

_LINES_MAX = 20


class BadOutputError(ValueError):
    """What a bootloader says makes no sense; the sentence is the original's, where it has one."""


@dataclass(frozen=True, slots=True)
class Output:
    """What it has found: files in its directory, by their names there, and a command line."""

    kernel: str
    ramdisk: str | None = None
    arguments: str = ""


def command(arguments: str) -> list[str]:
    """The words for pygrub that asks nobody; `arguments` are divided at blanks, as in the original."""
    return ["--output-format=simple", "-q", f"--output-directory={OUT}", *arguments.split(), DISK]


def parsed(said: bytes) -> Output:
    """What it has said: lines with a name and a value, each name once. Errors: `BadOutputError`."""
    if len(said) > TEXT_BYTES_MAX or b"\0" in said:
        raise BadOutputError(f"It has said {len(said)} bytes, or a zero among them")
    text = said.decode(errors="replace")
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, blank, value = line.partition(" ")
        if not (blank and name):
            continue
        if name not in {"kernel", "ramdisk", "args"}:
            raise BadOutputError(f"Unrecognised start of line when parsing bootloader result: line={line}")
        if name in found:
            raise BadOutputError(f"More than one {name} line when parsing bootloader result: {text}")
        found[name] = value
    if "kernel" not in found:
        raise BadOutputError(f"No kernel found in {text}")
    ramdisk = found.get("ramdisk")
    return Output(
        _name_of(found["kernel"]), None if ramdisk is None else _name_of(ramdisk), found.get("args", "")
    )


def reason_of(complaint: str) -> str | None:
    """Why a bootloader has failed, if it is one that says so in the usual way."""
    _, prefix, reason = complaint.partition(_PREFIX)
    return reason.strip() if prefix else None


def end_of(complaint: str) -> str:
    """The last lines of what it said as it failed."""
    return "\n".join(complaint.strip().splitlines()[-_LINES_MAX:])


def whole_line(found: str, legacy: str, extra: str) -> str:
    """The kernel's command line, in the original's order."""
    return f"{found} {legacy} {extra}"


def _name_of(path: str) -> str:
    if not path.startswith("/"):
        raise BadOutputError(f"Bootloader returned a relative path for kernel or ramdisk: {path}")
    directory, name = posixpath.split(posixpath.normpath(path))
    if directory != OUT:
        raise BadOutputError(
            "Malicious guest? Bootloader returned a kernel or ramdisk path outside the allowed directories: "
            f"{path}"
        )
    return name
