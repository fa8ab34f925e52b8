"""The worker on KVM as a process; its settings are in `worker_kvm.settings`."""

import sys

from bus.process import run_with

from worker_kvm.service import build
from worker_kvm.settings import from_environment

if __name__ == "__main__":
    sys.exit(run_with("worker", from_environment, build))
