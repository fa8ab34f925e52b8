"""Prepare: compile the bindings to Xen's libraries before a worker needs them, as when a host is set up.

python -m worker_xen.prepare [DIRECTORY]
"""

import sys
from pathlib import Path

from worker_xen.binding import BindingError, load
from worker_xen.libxc.library import libxc_binding
from worker_xen.settings import BINDINGS
from worker_xen.xenlight.binding import LIBXL

ALL = (LIBXL, libxc_binding())


def main(words: list[str]) -> int:
    """Compile what is not there yet; answers the exit code."""
    directory = Path(words[0]) if words else BINDINGS
    try:
        for binding in ALL:
            load(binding, directory)
    except BindingError as error:
        sys.stderr.write(f"prepare: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
