"""Nodes: what QEMU tells of the contents that it has open."""

from worker_kvm.qemu.live import Live


def size_of_node(live: Live, node: str) -> int | None:
    """How many bytes a disk has for its guest; None: no such node. Errors: `Internal_error`."""
    for found in live.do("query-named-block-nodes", {"flat": True}):
        if found["node-name"] == node:
            return int(found["image"]["virtual-size"])
    return None
