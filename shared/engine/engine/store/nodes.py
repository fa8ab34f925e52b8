"""Nodes: how names and texts of any length and bytes fit into xenstore's nodes, and come out again.

A node's name may hold letters, digits, `-`, `_` and `@`; its value up to 2,048 bytes, as oxenstored has it,
or 4,096 together with its path, as the C daemon has it; and so have the names in a directory together.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote_from_bytes, unquote_to_bytes
from zlib import crc32

VALUE_BYTES_MAX = 2_000
"""The longest value that is written: what fits into either daemon with some room to spare."""

NAMES_BYTES_MAX = 4_096
"""How long all names of a directory may be, each with a byte behind it; more of them cannot be listed."""

TEXT_BYTES_MAX = 1 << 20
"""The longest text that is split over nodes; all of it is in the daemon's memory."""

BUCKETS = 128
"""Into how many directories VMs are divided: one can list 110 uuids."""

_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_ESCAPED = re.compile(r"@([0-9a-f]{2})")
_SPLIT = re.compile(rb"@([0-9a-f]{32}) ([0-9]{1,6})")
_PRINTABLE = re.compile(rb"[\x20-\x24\x26-\x7e]*")
_SAFE = bytes(set(range(0x20, 0x7F)) - {0x25}).decode()


@dataclass(frozen=True, slots=True)
class Split:
    """What a node says whose text is in nodes below it, `1` to `count`; the stamp is the text's own."""

    stamp: str
    count: int


def node_name(name: str) -> str:
    """A name as a node has it; no two names have the same."""
    return _UNFIT.sub(lambda found: f"@{ord(found[0]):02x}", name)


def plain_name(node: str) -> str:
    """The name that a node has."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), node)


def bucket_of(vm: str) -> str:
    """The directory that a VM is in: by its id, evenly."""
    return f"{crc32(vm.encode()) % BUCKETS:02x}"


def fits(names: Iterable[str], further: str) -> bool:
    """Whether a directory with these names can still be listed with a further one."""
    return sum(len(name) + 1 for name in names) + len(further) + 1 <= NAMES_BYTES_MAX


def values_of(text: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """The value of a text's node, and those of the nodes below it: none for a text that fits into one.

    What does not print is written as in URLs, `%0A`; so the text of most objects is as it is in a file.
    """
    quoted = text if _PRINTABLE.fullmatch(text) else quote_from_bytes(text, _SAFE).encode()
    if len(quoted) <= VALUE_BYTES_MAX and not quoted.startswith(b"@"):
        return quoted, ()
    parts = tuple(quoted[begin : begin + VALUE_BYTES_MAX] for begin in range(0, len(quoted), VALUE_BYTES_MAX))
    return f"@{_stamp(quoted)} {len(parts)}".encode(), parts


def split_of(value: bytes) -> Split | None:
    """What a node says of the nodes below it; None when its value is the text."""
    found = _SPLIT.fullmatch(value)
    return None if found is None else Split(found[1].decode(), int(found[2]))


def text_of(value: bytes) -> bytes:
    """The text of a node without any below it."""
    return unquote_to_bytes(value)


def joined(split: Split, parts: Iterable[bytes]) -> bytes | None:
    """The text of a node with nodes below it; None when they are another text's, or of several."""
    quoted = b"".join(parts)
    return unquote_to_bytes(quoted) if _stamp(quoted) == split.stamp else None


def _stamp(quoted: bytes) -> str:
    return hashlib.blake2b(quoted, digest_size=16).hexdigest()
