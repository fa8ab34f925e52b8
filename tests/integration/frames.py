"""Ethernet frames as a guest sends them, and the guest's side of a tap to send and get them by."""

import ipaddress
import os
import select
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from engine.hosted.port_rules import PortRules
from worker_kvm.network import Network, TapSettings

MAC, OTHER_MAC = "52:54:00:00:00:0a", "52:54:00:00:00:bb"
PATIENCE_S = 120.0

_VNET_HEADER = bytes(10)
"""virtio-net's: nothing is left to the host."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is sent; `label` is in its last bytes, by which it is known again."""

    content: bytes
    label: bytes


def ethernet(label: str, protocol: int, payload: bytes = b"", mac: str = MAC) -> Frame:
    """A broadcast of any protocol."""
    return _frame(mac, struct.pack("!H", protocol), payload, label)


def ipv4(
    label: str, source: str, *, mac: str = MAC, tag: int | None = None, ports: tuple[int, int] = (9, 9)
) -> Frame:
    """A UDP datagram to everybody, in a VLAN where there is a tag."""
    data = struct.pack("!HHHH", *ports, 8 + len(_words(label)), 0)
    addresses = ipaddress.IPv4Address(source).packed + b"\xff" * 4
    length = 20 + len(data) + len(_words(label))
    header = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, 64, 17, 0) + addresses
    header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
    vlan = b"" if tag is None else struct.pack("!HH", 0x8100, tag)
    return _frame(mac, vlan + b"\x08\x00", header + data, label)


def arp(label: str, source: str, target: str = "10.0.0.9", mac: str = MAC) -> Frame:
    """A question for the MAC of `target`."""
    packed = [ipaddress.IPv4Address(text).packed for text in (source, target)]
    question = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    payload = question + _bytes(MAC) + packed[0] + bytes(6) + packed[1] + bytes(18)
    return _frame(MAC, b"\x08\x06", payload.replace(_bytes(MAC), _bytes(mac)), label)


def ipv6(label: str, source: str) -> Frame:
    """A UDP datagram to everybody."""
    return _ipv6(label, source, 17, struct.pack("!HHHH", 9, 9, 8 + len(_words(label)), 1))


def neighbour(label: str, kind: int, target: str, source: str = "::") -> Frame:
    """`kind` is ICMPv6's: 135 asks for a neighbour, 136 tells of one, 134 is a router's advertisement."""
    message = struct.pack("!BBHI", kind, 0, 0, 0) + ipaddress.IPv6Address(target).packed
    return _ipv6(label, source, 58, message)


def _ipv6(label: str, source: str, protocol: int, payload: bytes) -> Frame:
    addresses = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address("ff02::1").packed
    header = struct.pack("!IHBB", 6 << 28, len(payload) + len(_words(label)), protocol, 255)
    return _frame(MAC, b"\x86\xdd", header + addresses + payload, label)


def _frame(mac: str, protocol: bytes, payload: bytes, label: str) -> Frame:
    """The label is part of the packet: bridges cut off what follows one."""
    words = _words(label)
    return Frame(b"\xff" * 6 + _bytes(mac) + protocol + payload + words, words)


def _words(label: str) -> bytes:
    """Long enough for the shortest frame that Ethernet knows."""
    return f"<{label:*^50}>".encode()


def _checksum(header: bytes) -> int:
    total = sum(struct.unpack("!10H", header))
    return int(~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)


def _bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


class Tap:
    """A tap on xenbr0, from the guest's side."""

    def __init__(self, network: Network, name: str, rules: PortRules | None = None) -> None:
        self.name = name
        self._descriptor = network.open_tap(TapSettings(name, "xenbr0", 1500, rules))
        self._got = b""

    def send(self, frame: Frame) -> None:
        """The kernel takes it through the bridge before this returns."""
        os.write(self._descriptor, _VNET_HEADER + frame.content)

    def get(self, until: Frame, timeout_s: float) -> list[bytes] | None:
        """The frames that came before one; None when that did not come in time."""
        frames: list[bytes] = []
        while select.select([self._descriptor], [], [], timeout_s)[0]:
            content = os.read(self._descriptor, 65_536)
            if content.endswith(until.label):
                return frames
            frames.append(content)
        return None

    def heard(self, timeout_s: float) -> Iterator[bytes]:
        """Frames as they come, without virtio-net's header, until none has come for so long."""
        while select.select([self._descriptor], [], [], timeout_s)[0]:
            yield os.read(self._descriptor, 65_536)[len(_VNET_HEADER) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
