"""The dashboard as a process: the page and API of operators; see `dashboard.settings`."""

import os
import sys

from bus.process import run_with

from dashboard.service import build
from dashboard.settings import from_environment

NICENESS = 10
"""It reads every record as the services do for which tasks wait: on a busy machine, those come first."""


def give_way() -> None:
    """Let other processes go first, unless whoever started this one has seen to that."""
    if os.getpriority(os.PRIO_PROCESS, 0) < NICENESS:
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


if __name__ == "__main__":
    give_way()
    sys.exit(run_with("dashboard", from_environment, build))
