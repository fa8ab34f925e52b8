"""The frontend as a process: see `frontend.settings` for what it is told; ends on SIGTERM or SIGINT."""

import sys

from bus.process import run_with

from frontend.service import build
from frontend.settings import from_environment

if __name__ == "__main__":
    sys.exit(run_with("frontend", from_environment, build))
