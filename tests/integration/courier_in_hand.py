"""A courier that moves the memory of guests on a Xen host in this process: very little of it."""

import sys

COURIER = """
import os, struct, sys
what, domid, image, one, other, *_ = sys.argv[1:]
head = struct.pack(">QIIHHI", (1 << 64) - 1, 0x58454E46, 3, 0, 0, 0) + struct.pack("<IHHII", 1, 12, 0, 4, 17)
memory = head + struct.pack("<II", 1, 6000) + b"memory" * 1000 + struct.pack("<II", 0, 0)
def take(image, size):
    found = b""
    while len(found) < size and (piece := os.read(image, size - len(found))):
        found += piece
    return found
if what == "build":
    print(11, 12) if open(sys.argv[9]).read() == "kernel" else sys.exit("xc: error: it is no kernel")
elif what in {"save", "save-live"}:
    os.write(int(one), b"s")
    if os.read(int(other), 1) != b"y":
        sys.exit("xc: error: Domain has not been suspended")
    os.write(int(image), memory)
elif take(int(image), len(memory)) == memory:
    print(11, 12)
else:
    sys.exit("xc: error: Invalid marker: Got 0x0000000000000000")
"""
"""What the real one does, with very little memory, in libxc's own framing."""


def courier_command() -> tuple[str, ...]:
    return (sys.executable, "-c", COURIER)
