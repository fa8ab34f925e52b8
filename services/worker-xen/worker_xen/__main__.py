"""The worker on Xen as a process; its settings are in `worker_xen.settings`."""

import sys

from bus.process import run_with

from worker_xen.service import build
from worker_xen.settings import from_environment

if __name__ == "__main__":
    sys.exit(run_with("worker", from_environment, build))
