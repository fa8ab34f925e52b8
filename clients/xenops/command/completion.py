"""Completion: what a shell may offer after Tab, names of VMs, tasks and workers too."""

import argparse
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any

from bus.ports import BusError
from schema.fault import XenopsError

from xenops.client import Client

SHELLS = ("bash", "zsh", "fish")

LOOK_S = 2.0
"""So long the service may take to name what there is, while somebody waits at the keyboard."""

EPILOG = """\
For bash, put `eval "$(xenops completion bash)"` into ~/.bashrc; for zsh, the same with zsh into ~/.zshrc,
after compinit; for fish, `xenops completion fish | source` into ~/.config/fish/config.fish. VMs, tasks and
workers are asked for at the instance that command line, environment or configuration file name.
"""

Command = Callable[[str, str], argparse.ArgumentParser]
Connect = Callable[[Namespace], Client]

_NAMES: dict[str, Callable[[Client], list[str]]] = {
    "vm": lambda client: [vm.id for vm, _ in client.vm.list()],
    "task": lambda client: [task.id for task in client.task.list()],
    "worker": lambda client: [worker.worker for worker in client.worker.list()],
}
"""By the name of an argument, what there is."""


def add_completion_command(command: Command) -> None:
    """Declare the command."""
    completion = command("completion", "print what a shell needs to complete command lines")
    completion.formatter_class = argparse.RawDescriptionHelpFormatter
    completion.epilog = EPILOG
    completion.add_argument("shell", choices=SHELLS)


def print_completion(shell: str) -> None:
    """Do the command."""
    from argcomplete.shell_integration import shellcode  # noqa: PLC0415  no other command needs it

    sys.stdout.write(shellcode(["xenops"], shell=shell))


def complete(top: argparse.ArgumentParser, connect: Connect) -> None:
    """Where a shell asks what may come next, say so and end the process; else nothing."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete  # noqa: PLC0415  only a shell that asks needs it

    for action in _arguments(top):
        if action.dest in _NAMES:
            action.completer = completer_of(action.dest, connect)  # type: ignore[attr-defined]
    argcomplete.autocomplete(top)


def completer_of(argument: str, connect: Connect) -> Callable[..., list[str]]:
    """Names what there is of a kind; nothing, where the service does not say: a shell shows no words."""

    def names(*, parsed_args: Namespace, **_: Any) -> list[str]:
        told = {**vars(parsed_args), "call_timeout": LOOK_S}
        if not told.get("broker") or not told.get("instance"):
            return []
        try:
            with connect(Namespace(**told)) as client:
                return _NAMES[argument](client)
        except (BusError, XenopsError):
            return []

    return names


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001  argparse has no other way to look at them
        yield action
        if isinstance(action.choices, dict):
            for command in action.choices.values():
                yield from _arguments(command)
