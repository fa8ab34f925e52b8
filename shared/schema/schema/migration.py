"""Migration: what two hosts say to each other while a VM goes from one to the other, in the original's bytes.

The source opens one HTTP connection for each channel, by a PUT whose facts are cookies. There is no answer
to it: the bytes after its head are the channel's, in both directions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from schema.ids import VmId

_STEM = 24
"""How much of a UUID is kept in the ids that a VM bears for the time of its migration."""

_DEPARTING, _ARRIVING, _ARRIVED = "000000000000", "000000000001", "000000000002"

VERDICT_HEAD_BYTES = 2
"""A verdict begins with the length of its message, most significant byte first; none, and it is a success."""

_MESSAGE_BYTES_MAX = 0xFFFF

HANDSHAKE_COOKIE = "mem_migration"
"""Sent by sources that open a channel of its own for memory; its value is a version that nobody reads."""

COMPRESSION_COOKIE = "compress"
COMPRESSION = "zstd"
VGPU_COOKIE = "vgpu_migration"
"""Sent by sources whose virtual GPUs can migrate; its value is empty."""


class Channel(StrEnum):
    """What a connection is for."""

    CONTROL = "vm"
    MEMORY = "mem"
    VGPU = "vgpu"
    DISK = "disk"
    """Ours: a disk that goes along, by what its two hypervisors speak."""


@dataclass(frozen=True, slots=True)
class ChannelOpening:
    """A PUT's path, read: the VM is known by its arriving id; `device` names the virtual GPU, or the disk."""

    channel: Channel
    vm: VmId
    device: str = ""
    old: bool = False
    """Of a source that sends memory on the control channel."""


_PATHS = (
    ("/migrate/vm/", Channel.CONTROL, False),
    ("/migrate/mem/", Channel.MEMORY, False),
    ("/migrate/vgpu/", Channel.VGPU, False),
    ("/migrate/disk/", Channel.DISK, False),
    ("/memory/", Channel.CONTROL, True),
    ("/migrate-vgpu/", Channel.VGPU, True),
)


def departing_id(vm: VmId) -> VmId:
    """What the VM is called at the source once it has been sent."""
    return VmId(vm[:_STEM] + _DEPARTING)


def arriving_id(vm: VmId) -> VmId:
    """What the VM is called at the destination until it has arrived."""
    return VmId(vm[:_STEM] + _ARRIVING)


def arrived_id(vm: VmId) -> VmId:
    """Under which a destination says that the VM has arrived there, though it may have gone on since."""
    return VmId(vm[:_STEM] + _ARRIVED)


def arriving_of(arrived: VmId) -> VmId | None:
    """The arriving id of the VM whose arrived id this is; None if it is none."""
    return VmId(arrived.removesuffix(_ARRIVED) + _ARRIVING) if arrived.endswith(_ARRIVED) else None


def has_temporary_ids(vm: VmId) -> bool:
    """Whether a VM's temporary ids differ from its own and from each other's: ids too short have none."""
    return len({vm, departing_id(vm), arriving_id(vm)}) == 3


def channel_path(channel: Channel, vm: VmId, device: str = "") -> str:
    """What is appended to the destination's URL to open a channel."""
    return f"/migrate/{channel}/{vm}" + (f".{device}" if device else "")


def read_path(path: str) -> tuple[str, ChannelOpening] | None:
    """Which service a PUT's path addresses, and which channel it opens; None for any other path."""
    for marker, channel, old in _PATHS:
        service, found, name = path.partition(marker)
        if found and name and "/" not in name:
            vm, device = unquote(name), ""
            if channel in {Channel.VGPU, Channel.DISK}:
                vm, _, device = vm.rpartition(".")
            return service, ChannelOpening(channel, VmId(vm), device, old)
    return None


def encode_cookies(cookies: Mapping[str, str]) -> str:
    """The value of a cookie header. What would end a cookie early is replaced by a blank."""
    return "; ".join(f"{name}={value.translate(_ENDS)}" for name, value in cookies.items())


_ENDS = str.maketrans(dict.fromkeys(";,\r\n", " "))


def decode_cookies(headers: Iterable[str]) -> dict[str, str]:
    """The cookies in the values of cookie headers; the first of a name counts."""
    cookies: dict[str, str] = {}
    for header in headers:
        for cookie in header.replace(",", ";").split(";"):
            name, _, value = cookie.strip(" \t").partition("=")
            if name and not name.startswith("$"):
                cookies.setdefault(name, value)
    return cookies


def encode_success() -> bytes:
    """All is well, go on."""
    return bytes(VERDICT_HEAD_BYTES)


def encode_failure(message: str) -> bytes:
    """Something has failed, for the reason given; one without letters would be a success, and is worded."""
    content = (message or "unknown error").encode("utf-8", "surrogateescape")[:_MESSAGE_BYTES_MAX]
    return len(content).to_bytes(VERDICT_HEAD_BYTES, "big") + content


def message_length(head: bytes) -> int:
    """How many bytes of a message follow the head of a verdict: 0 for a success."""
    return int.from_bytes(head, "big")
