"""The dashboard as a process: the page and API of operators; see `dashboard.settings`."""

import sys

from bus.process import run_with

from dashboard.service import build
from dashboard.settings import from_environment

if __name__ == "__main__":
    sys.exit(run_with("dashboard", from_environment, build))
