"""A stack on the simulator that lives until its standard input ends, for whoever has started this process.

It says in one line of JSON where it is: the broker's URL for its administrator and for clients, the switch's
socket, and its processes.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from stack.layout import Layout
from stack.local import LocalStack

TMPFS = "/dev/shm"  # noqa: S108  a directory of our own is made in it


def main() -> None:
    """Hold it."""
    on_tmpfs = TMPFS if os.access(TMPFS, os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(prefix="xb") as directory,
        tempfile.TemporaryDirectory(prefix="xb", dir=on_tmpfs) as state,
        LocalStack(layout := Layout(Path(directory) / "s"), environment={"XENOPS_STATE_DIR": state}) as stack,
    ):
        told = {
            "administrator": stack.administrator_url,
            "client": stack.url,
            "switch": str(layout.switch),
            "pids": {name: pid for name, pid in stack.status().items() if pid is not None},
        }
        print(json.dumps(told), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
