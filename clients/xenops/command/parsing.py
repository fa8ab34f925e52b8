"""Parsing: command lines that are refused in one sentence, and commands that are listed by subject."""

import argparse
import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from typing_extensions import override

VM_HELP = "its id or its name, as `xenops list` shows them"

NAMED_MAX = 10
"""So many choices are named to somebody who has named none."""


class UsageError(Exception):
    """The command line, with the environment, does not say enough, or makes no sense."""


Subjects = Mapping[str, Iterable[str]]
"""Names of commands by what they are about."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong and where help is, instead of all that there would be."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._positionals.title = "arguments"

    @override
    def error(self, message: str) -> NoReturn:
        onwards = " See" if message.endswith("?") else "; see"
        self.exit(2, f"{self.prog}: {message}{onwards} `{self.prog} --help`\n")

    @override
    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        rather = _rather(str(value), action.choices)
        raise argparse.ArgumentError(None, f"there is no {action.dest} {value!r}{rather}")


class ShowVersion(argparse.Action):
    """Prints the version and ends; it is looked for only then, which takes a while."""

    def __init__(self, option_strings: list[str], dest: str, **named: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **named)

    @override
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version  # noqa: PLC0415  no other command needs it

        print(f"{parser.prog} {version('xenops-client')}")  # noqa: T201  it is what was asked for
        parser.exit(0)


def _rather(given: str, choices: Iterable[Any]) -> str:
    """What may have been meant; where nothing is like it, what there is, if that is not much."""
    names = list(map(str, choices))
    if near := difflib.get_close_matches(given, names, n=2):
        return f", did you mean {' or '.join(near)}?"
    return f", but {', '.join(names)}" if len(names) <= NAMED_MAX else ""


def listing(subjects: Subjects) -> type[argparse.HelpFormatter]:
    """What lays out help in which commands stand below what they are about."""

    class BySubject(argparse.RawDescriptionHelpFormatter):
        @override
        def _format_action(self, action: argparse.Action) -> str:
            if not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  it has no other name
                return super()._format_action(action)
            commands = {one.dest: one for one in action._get_subactions()}  # noqa: SLF001  nor a way to ask
            parts = []
            for subject, names in subjects.items():
                parts.append(f"\n{'':{self._current_indent}}{subject}:\n")
                self._indent()
                parts += [self._format_action(commands[name]) for name in names]
                self._dedent()
            return "".join(parts)

    return BySubject
