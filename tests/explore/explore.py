"""Explore: random lives of VMs on whichever stack is named, as `make explore` does.

python tests/explore/explore.py [--lives N] [--steps N] [--seed N] [--machine KIND] [--restarts] [--shrink]

The stack is that of XENOPS_BROKER and XENOPS_INSTANCE, as `make up` prints them, and runs on this machine:
VMs have files of ours as disks, and move within their host by its door. With `--restarts` its services are
started anew beneath them. Where `make setup` has built the guest, they boot it and must answer at their
consoles; `--without-guest` is for a simulator. It ends with a traceback when a walk goes wrong, and
shows its steps; `--shrink` makes it short first, which takes many more walks.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from ground import Ground
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from stack.guest import guest_in
from stack.layout import Layout
from walk import walks_on
from xenops import connect

SEED_MAX = 1 << 32
CALL_TIMEOUT_S = 300.0
GUEST = Path("var") / "guest"
STACK = Path("var") / "stack"
SERVICES = ("frontend", "redirector", "eventhub", "worker-kvm", "worker-sim")


def main(arguments: list[str]) -> int:
    """Walk; answers 0 if all went well."""
    wanted = _read(arguments)
    number = random.randrange(SEED_MAX) if wanted.seed is None else wanted.seed
    sys.stdout.write(f"explore: seed {number}; again: --seed {number} --lives {wanted.lives}\n")
    phases = [Phase.generate, *([Phase.shrink] if wanted.shrink else [])]
    chosen = settings(
        max_examples=wanted.lives,
        stateful_step_count=wanted.steps,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.verbose if wanted.verbose else Verbosity.normal,
    )
    with (
        tempfile.TemporaryDirectory(prefix="xenops-explore-") as directory,
        connect(
            os.environ["XENOPS_BROKER"], os.environ["XENOPS_INSTANCE"], timeout_s=CALL_TIMEOUT_S
        ) as client,
    ):
        Path(directory).chmod(0o755)  # QEMU may have a user of its own
        guest = guest_in(GUEST)
        guests = guest if guest.is_there and not wanted.without_guest else None
        home = f"unix://{Layout(STACK.resolve()).door}?instance={os.environ['XENOPS_INSTANCE']}"
        restarts = [partial(_restart, name) for name in SERVICES] if wanted.restarts else []
        ground = Ground(client, Path(directory), guests, wanted.machine, restarts, home)
        run_state_machine_as_test(seed(number)(walks_on(ground)), settings=chosen)
    sys.stdout.write(f"explore: {wanted.lives} lives of up to {wanted.steps} steps, nothing went wrong\n")
    return 0


def _restart(service: str) -> None:
    subprocess.run([sys.executable, "-m", "stack", "restart", service], check=True, stdout=subprocess.DEVNULL)


def _read(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="explore", description=__doc__.splitlines()[0])
    parser.add_argument("--lives", type=int, default=5, help="how many VMs live, one after the other")
    parser.add_argument("--steps", type=int, default=30, help="how many steps a life has at most")
    parser.add_argument("--seed", type=int, help="which lives; without it, others each time")
    parser.add_argument("--machine", default="", help="the kind of machine, by its word in platform data")
    parser.add_argument("--without-guest", action="store_true", help="VMs boot nothing, and are not asked")
    parser.add_argument("--restarts", action="store_true", help="start services anew meanwhile")
    parser.add_argument("--shrink", action="store_true", help="make a walk that goes wrong short")
    parser.add_argument("--verbose", action="store_true", help="show each step as it is done")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
