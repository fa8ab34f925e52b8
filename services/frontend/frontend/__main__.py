"""The frontend as a process: `XENOPS_BROKER`, `XENOPS_INSTANCE`; ends on SIGTERM or SIGINT."""

import sys

from bus.process import run

from frontend.service import build

if __name__ == "__main__":
    sys.exit(run("frontend", build))
