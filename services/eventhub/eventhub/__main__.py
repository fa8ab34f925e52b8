"""The event hub as a process: `XENOPS_BROKER`, `XENOPS_INSTANCE`; ends on SIGTERM or SIGINT."""

import sys

from bus.process import run

from eventhub.service import build

if __name__ == "__main__":
    sys.exit(run("eventhub", build))
