"""The simulator's worker as a process; its settings are in `worker_sim.settings`."""

import sys

from bus.process import run_with

from worker_sim.service import build
from worker_sim.settings import from_environment

if __name__ == "__main__":
    sys.exit(run_with("worker", from_environment, build))
