"""The redirector as a process: `XENOPS_BROKER`, `XENOPS_INSTANCE`; ends on SIGTERM or SIGINT."""

import sys

from bus.process import run

from redirector.service import build

if __name__ == "__main__":
    sys.exit(run("redirector", build))
