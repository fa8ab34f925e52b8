"""Make the awaitable calls out of the plain ones, so that the interface is written once.

`clients/xenops/aio/calls` and `clients/xenops/aio/events.py` are made of `clients/xenops/calls` and
`clients/xenops/events.py`; a test holds them against each other.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLAIN = ROOT / "clients" / "xenops"
AWAITABLE = PLAIN / "aio"
MODULES = ("control", "devices", "events", "lanes", "vif", "vm")
"""The modules of calls; the caller itself is written by hand."""


def main() -> int:
    """Write every generated module."""
    for path, text in generated():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


def generated() -> Iterator[tuple[Path, str]]:
    """Each generated module, and its text."""
    plain = (PLAIN / "calls" / "__init__.py").read_text()
    package = re.sub(r"\b(\w+Calls)\b", r"Async\1", plain.replace("xenops.calls", "xenops.aio.calls"))
    yield AWAITABLE / "calls" / "__init__.py", tidy(made_of(package, "calls/__init__.py"))
    for name in MODULES:
        text = awaitable_calls((PLAIN / "calls" / f"{name}.py").read_text(), f"xenops.calls.{name}")
        yield AWAITABLE / "calls" / f"{name}.py", tidy(made_of(text, f"calls/{name}.py"))
    yield (
        AWAITABLE / "events.py",
        tidy(made_of(awaitable_waits((PLAIN / "events.py").read_text()), "events.py")),
    )


def made_of(text: str, source: str) -> str:
    """With a word, behind the module's sentence, of where it comes from."""
    end = text.index('"""', 3)
    note = f"\n\nMade of `xenops/{source}` by `make async-client`: change that one.\n"
    return text[:end].rstrip() + note + text[end:]


def awaitable_calls(text: str, module: str) -> str:
    """A module of calls with every call awaited; what else it declares is imported from the plain one."""
    kept, others = _without(text, lambda name: name.endswith("Calls"))
    kept = re.sub(r"^    def (?=\w)", "    async def ", kept, flags=re.MULTILINE)
    kept = kept.replace("self.call(", "await self.call(")
    kept = kept.replace("    call: Caller", "    call: AsyncCaller")
    kept = kept.replace("from xenops.calls.caller import Caller", "from xenops.aio.caller import AsyncCaller")
    kept = re.sub(r"^class (\w+)", r"class Async\1", kept, flags=re.MULTILINE)
    kept = re.sub(
        r"(async def .*timeout: .*)$", r"\1  # noqa: ASYNC109  the interface's", kept, flags=re.MULTILINE
    )
    return _importing(kept, module, others)


def awaitable_waits(text: str) -> str:
    """The module of waits: what takes a client awaits it, the rest is imported from the plain one."""
    takes_client = {
        node.name
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.args.args and node.args.args[0].arg == "client"
    }
    kept, others = _without(text, takes_client.__contains__)
    for name in takes_client:
        kept = re.sub(rf"^def {name}\b", f"async def {name}", kept, flags=re.MULTILINE)
        kept = re.sub(rf"= {name}\(", f"= await {name}(", kept)
    kept = re.sub(r"client\.(updates|task)\.", r"await client.\1.", kept)
    kept = kept.replace("from xenops.client import Client", "from xenops.aio.client import AsyncClient")
    kept = kept.replace("client: Client", "client: AsyncClient")
    return _importing(kept, "xenops.events", others)


def _without(text: str, is_kept: Callable[[str], bool]) -> tuple[str, list[str]]:
    """The module without the classes, functions and constants that are not kept, and their names."""
    lines, others = text.splitlines(keepends=True), []
    for node in reversed(ast.parse(text).body):
        name, begin = _declared(node)
        if name and not is_kept(name):
            others.append(name)
            del lines[begin - 1 : node.end_lineno]
    return "".join(lines), others


def _declared(node: ast.stmt) -> tuple[str, int]:
    """What a statement declares, if it is a class or function, and the line in which it begins."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return node.name, min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
    return "", 0


def _importing(text: str, module: str, names: list[str]) -> str:
    """With an import, behind the last one, of names from the plain module; who needs none loses it again."""
    if not names:
        return text
    last = max(node.end_lineno or 0 for node in ast.parse(text).body if isinstance(node, ast.ImportFrom))
    lines = text.splitlines(keepends=True)
    lines.insert(last, f"from {module} import {', '.join(names)}\n")
    return "".join(lines)


def tidy(text: str) -> str:
    """As the formatter and the import rules want it."""
    ruff = str(Path(sys.executable).parent / "ruff")
    for command in (["check", "--quiet", "--fix-only", "--select", "F401,I001"], ["format", "--quiet"]):
        run = [ruff, *command, "--stdin-filename", str(AWAITABLE / "made.py"), "-"]
        text = subprocess.run(run, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return text


if __name__ == "__main__":
    sys.exit(main())
