"""NUMA nodes of a host with two, of a processor each: what `xl` and Xen tell of them and of domains."""

import re
import subprocess
import time

from engine.backend import Devices
from engine.conformance.subject import Life
from guest_subject import GuestSubject
from schema.objects.vm import SchedulerParams, Vm
from xen_guests import PATIENCE_S

MOSTLY = 0.9
"""Of a domain's memory; Xen's own pages of it may be anywhere."""


def xl(*words: str) -> str:
    return subprocess.run(["xl", *words], capture_output=True, text=True, check=True).stdout


def roomiest() -> int:
    """The node with most free memory. Each has the CPU of its own number."""
    free = re.findall(r"^ *(\d+): +\d+ +(\d+) +\d+,\d+$", xl("info", "-n"), re.MULTILINE)
    assert len(free) == 2
    return -max((int(mib), -int(node)) for node, mib in free)[1]


def affinity(life: Life) -> tuple[str, str]:
    """Where its vCPU may run, and where it had rather."""
    line = xl("vcpu-list", str(_domid(life))).splitlines()[-1]
    hard, soft = line.rsplit("/", 1)
    return hard.split()[-1], soft.strip()


def memory(life: Life) -> list[float]:
    """Of a domain's memory the part on each node, as Xen counts it for who presses a key."""
    xl("debug-keys", "u")
    told = xl("dmesg").rpartition("Memory location of each domain")[2]
    total, nodes = re.findall(rf"Domain {_domid(life)} \(total: (\d+)\):\n((?:.*Node \d+: \d+\n)+)", told)[0]
    return [int(pages) / int(total) for pages in re.findall(r"Node \d+: (\d+)", nodes)]


def are_of_both(parts: list[float]) -> bool:
    return all(part > 1 - MOSTLY for part in parts)


def vm_of(subject: GuestSubject, *cpus: int) -> Vm:
    """With one vCPU, bound to `cpus` if there are any."""
    params = SchedulerParams(affinity=(cpus,) if cpus else ())
    return subject.vm().model_copy(update={"vcpu_max": 1, "vcpus": 1, "scheduler_params": params})


def await_clean() -> None:
    """Wait until Xen has scrubbed what ended domains had: until then it rather gives another node's."""
    end = time.monotonic() + PATIENCE_S
    while True:
        xl("debug-keys", "H")
        if "unscrubbed" not in xl("dmesg").rpartition("'H' pressed")[2]:
            return
        assert time.monotonic() < end, "Xen does not scrub its memory"
        time.sleep(0.1)


def started(subject: GuestSubject, vm: Vm) -> Life:
    await_clean()
    life = Life(subject, vm, Devices())
    life.start()
    return life


def _domid(life: Life) -> int:
    [domid] = life.subject.backend.vm.get_state(life.vm).domids
    return domid
