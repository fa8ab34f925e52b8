"""Machines of each kind that boot the tiny guest."""

import re
from pathlib import Path

from qemu_host import GUEST, Host
from schema.objects.vm import Vm


def of_kind(host: Host, kind: str, then: str = "", *, vcpu_max: int = 1) -> Vm:
    """A VM of the tiny guest's on a machine of a kind.

    A microvm has no timer by which Linux would find out how fast its clock goes; KVM tells it, emulation does
    not, and shows the host's.
    """
    found = re.search(r"^cpu MHz\s*: (\d+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    clock = [f"tsc_early_khz={int(found[1]) * 1000}"] if kind == "microvm" and found else []
    ty = GUEST.builder(f"xenops.then={then}", *clock)
    return host.vm(platformdata=(("machine", kind),), vcpu_max=vcpu_max).model_copy(update={"ty": ty})
