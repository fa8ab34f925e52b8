"""The size gate: files, functions and parameter lists keep within limits, and each file has its sentence."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LINES_PER_FILE = 400
LINES_PER_FUNCTION = 40
PARAMETERS = 4
"""Positional parameters besides `self` or `cls`; keyword-only ones name themselves at the call."""


def main() -> int:
    """Print what is too large, one a line; answers 1 if anything is."""
    found = [complaint for path in tracked_python_files() for complaint in complaints(path)]
    print("\n".join(found) if found else "sizes: all within limits")
    return 1 if found else 0


def tracked_python_files() -> list[Path]:
    """All Python files that belong to the project, ignored ones excepted."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    names = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()
    return [path for name in names if (path := Path(name)).exists()]


def complaints(path: Path) -> Iterator[str]:
    """What is too large in one file, as `file:line: sentence`."""
    text = path.read_text()
    lines = text.count("\n")
    if lines > LINES_PER_FILE:
        yield f"{path}:1: {lines} lines, at most {LINES_PER_FILE}: divide it by idea"
    tree = ast.parse(text)
    is_test = "tests" in path.parts
    if text.strip() and not is_test and ast.get_docstring(tree) is None:
        yield f"{path}:1: opens without a sentence that says what it decides, or which door it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from function_complaints(path, node, is_test=is_test)


def function_complaints(
    path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef, *, is_test: bool
) -> Iterator[str]:
    """What is too large about one function; a test's parameters are fixtures and do not count."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if lines > LINES_PER_FUNCTION:
        yield f"{path}:{node.lineno}: {node.name} has {lines} lines, at most {LINES_PER_FUNCTION}"
    names = [argument.arg for argument in node.args.posonlyargs + node.args.args]
    count = len([name for name in names if name not in {"self", "cls"}])
    if count > PARAMETERS and not is_test and not _overrides(node):
        yield f"{path}:{node.lineno}: {node.name} takes {count} parameters, at most {PARAMETERS}"


def _overrides(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether its parameters are for another to choose."""
    return any(isinstance(mark, ast.Name) and mark.id == "override" for mark in node.decorator_list)


if __name__ == "__main__":
    sys.exit(main())
