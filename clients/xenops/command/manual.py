"""Manual: the parser that the man page is made of, by `make man`: the same for whoever makes it.

A page has room for what `--help` says of each command below its options, and no need to say thirty times
what may be said to all of them.
"""

import argparse
from collections.abc import Iterator

from xenops.command.arguments import COMMON, SUBJECTS, parser


def manual() -> argparse.ArgumentParser:
    """The whole command line, by subject, with nobody's environment or configuration."""
    top = parser()
    for commands in _commands(top):
        for made in set(commands.choices.values()):
            made.description = "\n\n".join(filter(None, (made.description, made.epilog)))
            made._action_groups = [one for one in made._action_groups if one.title != COMMON]  # noqa: SLF001
        order = [name for names in SUBJECTS.values() for name in names]
        commands._choices_actions.sort(key=lambda one: order.index(one.dest))  # noqa: SLF001  no other way
        known = commands.choices
        by_subject = sorted(known.items(), key=lambda one: order.index(one[1].prog.split()[-1]))
        known.clear()
        known.update(by_subject)
    return top


def _commands(
    top: argparse.ArgumentParser,
) -> "Iterator[argparse._SubParsersAction[argparse.ArgumentParser]]":
    for action in top._actions:  # noqa: SLF001  argparse has no other way to look at them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  it has no other name
            yield action
