"""Courier: saves, restores or builds a domain as a process of its own, for what it reads may do it harm.

    python -m worker_xen.libxc.courier BINDINGS save|save-live DOMID IMAGE_FD QUESTION_FD ANSWER_FD
    python -m worker_xen.libxc.courier BINDINGS restore DOMID IMAGE_FD STORE_PORT CONSOLE_PORT
    python -m worker_xen.libxc.courier BINDINGS build DOMID STORE_PORT CONSOLE_PORT CONTAINER VCPUS
        VCPUS_ONLINE MEMORY_MIB KERNEL RAMDISK COMMAND_LINE

`save` writes a byte to the question's file when the guest must suspend, and goes on by `y` from the answer's;
`save-live` writes most of the memory before.
`restore` and `build` print the frames of both rings; without a ramdisk its word is empty. It ends with 1 and
the library's words on the standard error when it cannot.
"""

import ctypes
import signal
import sys
from pathlib import Path

from worker_xen.binding import BindingError
from worker_xen.libxc.door import Libxc
from worker_xen.libxc.port import XenError
from worker_xen.libxc.values import Container, Kernel, Loaded, Nature, Ports, Rings

_PR_SET_PDEATHSIG = 1


def main(words: list[str]) -> int:
    """Do it; answers the exit code."""
    bindings, what, *rest = words
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody takes what it would bring
    try:
        rings = _do(Libxc(Path(bindings)), what, rest)
    except (BindingError, XenError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if rings is not None:
        sys.stdout.write(f"{rings.store_frame} {rings.console_frame}\n")
    return 0


def _do(libxc: Libxc, what: str, words: list[str]) -> Rings | None:
    if what == "build":
        return _build(libxc, words)
    domid, image, one, other = (int(number) for number in words)
    if what == "restore":
        return libxc.restore(domid, image, Ports(one, other))
    libxc.save(domid, image, (one, other), live=what == "save-live")
    return None


def _build(libxc: Libxc, words: list[str]) -> Rings:
    domid, store, console, container, vcpus, online, memory_mib, kernel, ramdisk, line = words
    nature = Nature(Container(container), int(vcpus), int(memory_mib) << 20)
    loaded = Loaded(Kernel(kernel, ramdisk or None, line), int(memory_mib), int(online))
    return libxc.build(int(domid), nature, loaded, Ports(int(store), int(console)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
