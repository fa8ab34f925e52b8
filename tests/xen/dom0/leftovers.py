"""What there is in dom0 on behalf of domains: nothing of it may be left by a VM that was ended."""

import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xen_guests import PATIENCE_S


def domains() -> list[str]:
    """Every domain's line, as Xen's own tool has it, but for its processor's time."""
    lines = _said("xl", "list")[1:]
    return [" ".join(line.split()[:2]) for line in lines]


def of_domains() -> dict[str, list[str]]:
    """Domains, their nodes in xenstore, loop devices, interfaces and processes, to be compared."""
    folders = ("/local/domain", "/vm", "/local/domain/0/backend/vbd", "/local/domain/0/backend/vif")
    nodes = [node for folder in folders for node in _nodes(folder)]
    processes = [path.read_bytes().split(b"\0")[0].decode() for path in Path("/proc").glob("[0-9]*/cmdline")]
    return {
        "domains": domains(),
        "xenstore": sorted(nodes),
        "loops": _said("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"),
        "interfaces": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "processes": sorted(name for name in processes if re.search(r"qemu|courier|xl", name)),
    }


def await_no_more_than(before: dict[str, list[str]]) -> None:
    """Wait until nothing is left: drivers let go of a device some moments after its end.

    What was there before may have gone since, as a daemon's short-lived process; a domain may not.
    """
    end = time.monotonic() + PATIENCE_S
    while left := _left(of_domains(), before):
        assert time.monotonic() < end, f"left: {left}"
        time.sleep(0.1)
    assert set(before["domains"]) <= set(domains())


@contextmanager
def nothing_left() -> Iterator[None]:
    """What comes of domains inside is gone at its end, or soon afterwards."""
    before = of_domains()
    yield
    await_no_more_than(before)


def _left(now: dict[str, list[str]], before: dict[str, list[str]]) -> dict[str, list[str]]:
    more = {kind: list((Counter(found) - Counter(before[kind])).elements()) for kind, found in now.items()}
    return {kind: found for kind, found in more.items() if found}


def _nodes(folder: str) -> list[str]:
    """Those below one; none where there is no such folder."""
    command = ["xenstore-list", "-p", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


def _said(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
