"""Choice: where a worker keeps its metadata, and the store that does so."""

import re
from dataclasses import dataclass
from pathlib import Path

from engine.store.files import FileStore
from engine.store.nodes import node_name
from engine.store.port import Store
from engine.store.xenstore import XenstoreStore
from engine.store.xenstored import Xenstored

XENSTORED_SOCKET = Path("/var/run/xenstored/socket")
"""Where the daemon of a Xen host listens."""

ROOT_BYTES_MAX = 512
"""A node's path may have 1,024 bytes in the C daemon; what is below the root needs up to 400."""

_ROOT = re.compile(r"(/[A-Za-z0-9_@-]+)+")


@dataclass(frozen=True, slots=True)
class XenstorePlace:
    """A node of the xenstore behind a socket; what is below it is the store's."""

    socket: Path
    root: str


def usual_root(instance: str) -> str:
    """Where an instance's metadata is in a xenstore: several workers share the host's one."""
    return f"/xenops/{node_name(instance)}"


def is_root(path: str) -> bool:
    """Whether it may be a store's root in a xenstore."""
    return _ROOT.fullmatch(path) is not None and len(path) <= ROOT_BYTES_MAX


def open_store(place: Path | XenstorePlace) -> Store:
    """The store there. Errors: `XenopsError` when it cannot be had."""
    if isinstance(place, XenstorePlace):
        return XenstoreStore(Xenstored(place.socket), place.root)
    return FileStore(place)
