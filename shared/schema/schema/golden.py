"""Golden: checks a directory of the original's own samples against this encoding.

`python -m schema.golden DIR` prints what differs and ends with `N passed, M failed`. A file that is not laid
out as the samples are is a difference like another.
"""

import sys
from pathlib import Path

from schema import rpc
from schema.fault import XenopsError
from schema.golden_checks import Check, checks
from schema.wire.errors import AbstractError, JsonError, MarshalError
from schema.wire.scalars import quoted

SHOWN = 20
"""Failures that are printed; the count is of all."""

_SHOWN_LETTERS = 300
"""Of each text of a failure."""

_WRONG = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What code raises that was given something else than a sample."""


def main(arguments: list[str]) -> int:
    """Check the directory named by the only argument; answers 1 if anything differs."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        _say("usage: python -m schema.golden DIR   (a directory with types/, methods.json, ...)")
        return 2
    passed, failures = run(Path(arguments[0]))
    for failure in failures[:SHOWN]:
        _say(failure)
    if len(failures) > SHOWN:
        _say(f"... and {len(failures) - SHOWN} more")
    _say(f"{passed} passed, {len(failures)} failed")
    return 1 if failures or not passed else 0


def _say(line: str) -> None:
    """Prints a line; bytes that are no letters of any script are shown as numbers."""
    sys.stdout.write(line.encode("utf-8", "backslashreplace").decode() + "\n")


def run(directory: Path) -> tuple[int, list[str]]:
    """Every check of a directory: how many passed, and in words which did not."""
    passed = 0
    failures = []
    for check in checks(directory):
        found = _outcome(check)
        if found == check.expected:
            passed += 1
        else:
            failures.append(
                f"{check.name[:_SHOWN_LETTERS]}\n"
                f"  expected {check.expected[:_SHOWN_LETTERS]}\n"
                f"  found    {found[:_SHOWN_LETTERS]}"
            )
    return passed, failures


def _outcome(check: Check) -> str:
    """What a check produced; any failure is a result like another."""
    try:
        return check.produce()
    except AbstractError as error:
        return f"exception: Failure({quoted(str(error))})"
    except MarshalError as error:
        return f"error: {error}"
    except rpc.BadRequestError as error:
        return f"refused: {error}"
    except (JsonError, rpc.ResponseError, XenopsError, *_WRONG) as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":  # pragma: no cover  run as a program by a test
    sys.exit(main(sys.argv[1:]))
