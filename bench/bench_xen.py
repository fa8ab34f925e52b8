"""VM.start on Xen through the whole bus, beside `xl create` of the same guest, in the emulated Xen host.

    python bench/bench_xen.py [ROUNDS] [--backend classic|xenlight] [--in-dom0]

Each round starts one of each and ends it, so that what else the machine does hits both alike. Both have
128 MiB, the tiny guest's kernel, a raw disk and an interface, and stay paused. All is some twenty times as
slow as on a real host, so the ratio is what counts. Of classic `tests/xen/dom0/measure.py` tells more, alone
with `--in-dom0`: in a machine whose clock counts 4 ns an instruction, whatever else the cores do. Needs what
`make xen-host` has built.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "xen")]

from figures import interleaved, tell  # noqa: E402  it finds itself where `make` runs it
from xen_dom0 import IMAGES, Dom0  # noqa: E402
from xen_hardware import Place, machine_place  # noqa: E402
from xen_machine import Machine, resumed  # noqa: E402
from xen_site import GUEST, Site  # noqa: E402
from xen_sources import SOURCES  # noqa: E402

ROUNDS = 10

IN_DOM0 = f"{SOURCES}/tests/xen/dom0"

PEER = f"""\
name = "peer"
type = "pv"
kernel = "{GUEST}/vmlinuz"
ramdisk = "{GUEST}/initrd.gz"
extra = "console=hvc0 quiet panic=-1"
memory = 128
disk = ["format=raw,vdev=xvda,access=rw,target=/var/lib/peer.raw"]
vif = ["bridge=xenbr0"]
"""


def main() -> None:
    """Print the figures."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("rounds", nargs="?", type=int, default=ROUNDS)
    arguments.add_argument("--backend", choices=("classic", "xenlight"), default="classic")
    arguments.add_argument("--in-dom0", action="store_true")
    told = arguments.parse_args()
    if not told.in_dom0:
        with running(machine_place(IMAGES / "current")) as machine:
            compare(machine, told.backend, told.rounds)
    if told.backend == "classic":
        with running(machine_place(IMAGES / "current", has_own_clock=True)) as machine:
            print(machine.check(f"cd {IN_DOM0} && PYTHONPATH=.:.. python3 measure.py {told.rounds}"))


@contextmanager
def running(place: Place) -> Iterator[Machine]:
    """A machine, for a while."""
    machine = resumed(place)
    try:
        yield machine
    finally:
        machine.end()


def compare(machine: Machine, backend: str, rounds: int) -> None:
    """Beside `xl create`."""
    machine.check(f"cat > /root/peer.cfg <<'E'\n{PEER}E\ntruncate -s 8M /var/lib/peer.raw")
    with tempfile.TemporaryDirectory() as directory:
        site = Site(Path(directory), Dom0(machine), backend)
        try:
            measure(site, rounds)
        finally:
            site.close()


def measure(site: Site, rounds: int) -> None:
    """One of each, round by round; what ends them is not measured."""
    site.add("ours")

    def start() -> None:
        site.done(site.client.vm.start("ours"))

    def stop() -> None:
        site.done(site.client.vm.shutdown("ours", None))

    def create() -> None:
        site.dom0.machine.check("xl create -q -p /root/peer.cfg", timeout_s=600.0)

    def destroy() -> None:
        site.dom0.machine.check("xl destroy peer", timeout_s=600.0)

    def nothing() -> None:
        site.dom0.machine.check("true")

    reach, peer, ours = interleaved(rounds, nothing, (create, destroy), (start, stop))
    tell("nothing, by ssh", reach)
    tell("xl create -p, by ssh", peer)
    tell(f"VM.start through the bus, {site.backend}", ours, peer)


if __name__ == "__main__":
    main()
