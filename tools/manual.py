"""Manual: man pages of the commands, made of the same words as their `--help`: var/man."""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "var" / "man"
MAKER = Path(sys.executable).with_name("argparse-manpage")

PAGES: Mapping[str, tuple[str, ...]] = {
    "xenops.1": (
        *("--module", "xenops.command.manual", "--function", "manual"),
        *("--description", "manage the virtual machines of one xenops instance"),
    ),
    "xenops-stack.8": (
        *("--pyfile", __file__, "--function", "stack_manual"),
        *("--description", "users of a broker for xenops, and exported logs replayed"),
    ),
}
"""Each page, NAME.SECTION, and where its words are."""


def main() -> int:
    """Make them; answers the exit code."""
    for page in build(OUTPUT):
        print(f"{page.relative_to(ROOT)}: look at it with man -l {page.relative_to(ROOT)}")
    return 0


def build(directory: Path, environment: Mapping[str, str] | None = None) -> list[Path]:
    """All pages; `SOURCE_DATE_EPOCH` of the environment is their date.

    Raises:
        subprocess.CalledProcessError: a page could not be made; the words are on stderr.
    """
    directory.mkdir(parents=True, exist_ok=True)
    made = [directory / page for page in PAGES]
    for page, words in zip(made, PAGES.values(), strict=True):
        command = [str(MAKER), *words, "--prog", page.stem, "--manual-section", page.suffix[1:]]
        titles = ["--project-name", "xenops", "--manual-title", "Xenops", "--output", str(page)]
        subprocess.run([*command, *titles], env=environment, check=True)
    return made


def stack_manual() -> argparse.ArgumentParser:
    """The command line of `python -m stack`, as the Debian package names it."""
    from stack.__main__ import parser  # noqa: PLC0415  of all that this module does, one page needs the stack

    return parser("xenops-stack")


if __name__ == "__main__":
    sys.exit(main())
