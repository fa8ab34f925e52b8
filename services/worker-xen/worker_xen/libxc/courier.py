"""Courier: saves or restores one domain as a process of its own, for an image may do harm to who reads it.

    python -m worker_xen.libxc.courier BINDINGS save|save-live DOMID IMAGE_FD QUESTION_FD ANSWER_FD
    python -m worker_xen.libxc.courier BINDINGS restore DOMID IMAGE_FD STORE_PORT CONSOLE_PORT

`save` writes a byte to the question's file when the guest must suspend, and goes on by `y` from the answer's;
`save-live` writes most of the memory before.
`restore` prints the frames of both rings. It ends with 1 and the library's words on the standard error when
it cannot.
"""

import ctypes
import signal
import sys
from pathlib import Path

from worker_xen.binding import BindingError
from worker_xen.libxc.door import Libxc
from worker_xen.libxc.port import XenError
from worker_xen.libxc.values import Ports

_PR_SET_PDEATHSIG = 1


def main(words: list[str]) -> int:
    """Do it; answers the exit code."""
    bindings, what, *numbers = words
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody takes what it would bring
    domid, image, one, other = (int(number) for number in numbers)
    try:
        libxc = Libxc(Path(bindings))
        if what in {"save", "save-live"}:
            libxc.save(domid, image, (one, other), live=what == "save-live")
        else:
            rings = libxc.restore(domid, image, Ports(one, other))
            sys.stdout.write(f"{rings.store_frame} {rings.console_frame}\n")
    except (BindingError, XenError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
