"""VM.start on Xen through the whole bus, beside `xl create` of the same guest, in the emulated Xen host.

    python bench/bench_xen.py [ROUNDS] [--backend classic|xenlight]

Each round starts one of each and ends it, so that what else the machine does hits both alike. Both have
128 MiB, the tiny guest's kernel, a raw disk and an interface, and stay paused. All is some twenty times as
slow as on a real host, so the ratio is what counts. Of classic alone `tests/xen/dom0/measure.py`
tells more. Needs what `make xen-host` has built.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "xen")]

from figures import interleaved, tell  # noqa: E402  it finds itself where `make` runs it
from xen_dom0 import IMAGES, Dom0  # noqa: E402
from xen_machine import machine_place, resumed  # noqa: E402
from xen_site import GUEST, Site  # noqa: E402

ROUNDS = 10

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
    told = arguments.parse_args()
    machine = resumed(machine_place(IMAGES / "current"))
    try:
        machine.check(f"cat > /root/peer.cfg <<'E'\n{PEER}E\ntruncate -s 8M /var/lib/peer.raw")
        with tempfile.TemporaryDirectory() as directory:
            site = Site(Path(directory), Dom0(machine), told.backend)
            try:
                measure(site, told.rounds)
            finally:
                site.close()
        if told.backend == "classic":
            print(
                machine.check(
                    f"cd /opt/xenops/sources/tests/xen/dom0 && PYTHONPATH=. python3 measure.py {told.rounds}"
                )
            )
    finally:
        machine.end()


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
