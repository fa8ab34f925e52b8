"""Manual: the parser that the man page is made of, by `make man`: the same for whoever makes it."""

import argparse

from xenops.command.arguments import parser


def manual() -> argparse.ArgumentParser:
    """The whole command line, with nobody's environment or configuration."""
    return parser()
