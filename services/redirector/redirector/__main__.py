"""The redirector as a process: see `redirector.settings` for what it is told; ends on SIGTERM or SIGINT."""

import sys

from bus.process import run_with

from redirector.service import build
from redirector.settings import from_environment

if __name__ == "__main__":
    sys.exit(run_with("redirector", from_environment, lambda bus, own: build(bus, own.bus, own.limits)))
