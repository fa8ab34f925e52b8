"""What a VIF's locking mode lets pass, by frames from the guest's side of its tap; and how long it holds."""

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from engine.conformance.subject import refusal
from engine.hosted.port_rules import PortRules, port_rules
from frames import MAC, OTHER_MAC, PATIENCE_S, Frame, Tap, arp, ethernet, ipv4, ipv6, neighbour
from qemu_host import VM, Host, vif
from schema.ids import DeviceId
from schema.objects.errors import InternalError
from schema.objects.vif import Disabled, Locked, LockedAddresses, LockingMode, Unlocked, Vif
from worker_kvm.network import Network, make_namespace, remove_namespace

LOCKED = Locked(addresses=LockedAddresses(ipv4=("10.0.0.1", "10.0.0.2"), ipv6=("fd00::1",)))
NONE = str(IPv4Address(0))
_POLL_S = 0.05


class Room:
    """A bridge with a guest that has rules, and two without: one sends what marks the end, one listens."""

    def __init__(self, network: Network, opened: ExitStack) -> None:
        self.network = network
        self.guest = opened.enter_context(Tap(network, "vif1.0", rules(LOCKED)))
        self.listener = opened.enter_context(Tap(network, "vif2.0"))
        self.friend = opened.enter_context(Tap(network, "vif3.0"))
        self._numbers = itertools.count()
        for sender, to in ((self.friend, self.listener), (self.friend, self.guest)):
            _until_connected(sender, to, self.mark)

    def mark(self) -> Frame:
        return ethernet(f"mark {next(self._numbers)}", 0x88B5, mac="52:54:00:00:00:cc")

    def passes(self, frame: Frame, sender: Tap | None = None, to: Tap | None = None) -> bool:
        (sender or self.guest).send(frame)
        mark = self.mark()
        self.friend.send(mark)
        if to is self.guest:  # whom no mark may reach
            seen = to.get(mark, _POLL_S)
            return seen is not None and any(found.endswith(frame.label) for found in seen)
        seen = self.listener.get(mark, PATIENCE_S)
        assert seen is not None, "the unrestricted guests do not reach each other"
        return any(found.endswith(frame.label) for found in seen)


def _until_connected(sender: Tap, to: Tap, mark: Callable[[], Frame]) -> None:
    for _ in range(int(PATIENCE_S / _POLL_S)):
        frame = mark()
        sender.send(frame)
        if to.get(frame, _POLL_S) is not None:
            return
    pytest.fail(f"{to.name} was never connected to {sender.name}")


def rules(mode: LockingMode, rate: tuple[int, int] | None = None) -> PortRules:
    return port_rules("vif1.0", Vif(id=DeviceId(VM, "0"), mac=MAC, locking_mode=mode, rate=rate))


@pytest.fixture(name="room")
def make_room() -> Iterator[Room]:
    namespace = f"xenops-rules-{os.getpid()}"
    make_namespace(namespace, "xenbr0")
    try:
        with ExitStack() as opened:
            yield Room(Network(namespace), opened)
    finally:
        remove_namespace(namespace)


OWN = [
    ipv4("own address", "10.0.0.1"),
    ipv4("second address", "10.0.0.2"),
    ipv4("DHCP", NONE, ports=(68, 67)),
    arp("own ARP", "10.0.0.2"),
    arp("ARP probe of its own", NONE, target="10.0.0.1"),
    ipv6("own IPv6", "fd00::1"),
    neighbour("own advertisement", 136, "fd00::1", "fd00::1"),
    neighbour("asks for a neighbour", 135, "fd00::99", "fd00::1"),
    neighbour("looks whether its address is taken", 135, "fd00::1"),
]

SPOOFED = [
    ipv4("spoofed address", "10.0.0.3"),
    ipv4("spoofed MAC", "10.0.0.1", mac=OTHER_MAC),
    ipv4("in a VLAN", "10.0.0.1", tag=7),
    ipv4("no DHCP request", NONE, ports=(67, 68)),
    arp("spoofed ARP", "10.0.0.3"),
    arp("ARP with another's MAC", "10.0.0.1", mac=OTHER_MAC),
    arp("ARP probe of another's", NONE, target="10.0.0.3"),
    ipv6("spoofed IPv6", "fd00::2"),
    ipv6("link-local IPv6", "fe80::1"),
    neighbour("advertises another's", 136, "fd00::2", "fd00::1"),
    neighbour("claims another's", 135, "fd00::2"),
    neighbour("is a router", 134, "::", "fd00::1"),
    ethernet("another protocol", 0x88B5),
]


def test_a_locked_guest_sends_from_its_own_addresses_only(room: Room) -> None:
    assert [frame.label for frame in OWN if not room.passes(frame)] == []
    assert [frame.label for frame in SPOOFED if room.passes(frame)] == []
    assert room.passes(ipv4("an answer", "10.0.0.9", mac=OTHER_MAC), sender=room.friend, to=room.guest)


def test_a_mode_changes_while_the_guest_runs(room: Room) -> None:
    spoofed, own = SPOOFED[0], OWN[0]
    towards = ipv4("towards it", "10.0.0.9", mac=OTHER_MAC)
    room.network.set_rules(rules(Unlocked()))
    assert [frame.label for frame in SPOOFED if not room.passes(frame)] == []
    room.network.set_rules(rules(Disabled()))
    assert [frame.label for frame in [*OWN, *SPOOFED] if room.passes(frame)] == []
    assert not room.passes(towards, sender=room.friend, to=room.guest)
    room.network.set_rules(rules(LOCKED))
    assert room.passes(own)
    assert not room.passes(spoofed)


def test_a_rate_lets_a_burst_pass_and_drops_what_is_above(room: Room) -> None:
    """1 KiB/s: of 300 KiB sent at once the burst of 128 KiB passes, and little more."""
    room.network.set_rules(rules(Unlocked(), rate=(1, 0)))
    passed = sum(room.passes(ethernet(f"full {n}", 0x88B6, bytes(1024))) for n in range(300))
    assert 110 <= passed <= 200


def tagged(label: str, tag: int | None) -> Frame:
    return ipv4(label, "10.0.0.1", mac=OTHER_MAC, tag=tag)


def test_a_trunk_passes_its_vlans_both_ways_and_no_other(room: Room) -> None:
    twice = ethernet("tagged twice", 0x88A8, b"\x00\x0a\x81\x00\x00\x0a\x88\xb5")
    for trunks, passing in (((10, 20), [10, 20]), ((0, 10), [None, 10]), ((), [None, 10, 20, 30])):
        wanted = Vif(id=DeviceId(VM, "0"), mac=MAC, trunks=trunks)
        room.network.set_rules(port_rules("vif1.0", wanted))
        frames = {tag: tagged(f"VLAN {tag} {trunks}", tag) for tag in (None, 10, 20, 30)}
        assert [tag for tag, frame in frames.items() if room.passes(frame)] == passing
        assert room.passes(twice) == (not trunks)
        end = tagged(f"end {trunks}", passing[-1])
        for frame in (twice, *frames.values(), end):
            room.friend.send(frame)
        got = room.guest.get(end, PATIENCE_S)
        assert got is not None
        received = [tag for tag, frame in frames.items() if any(one.endswith(frame.label) for one in got)]
        assert received == passing


def test_what_a_guest_gets_has_a_rate_too(room: Room) -> None:
    """As what it sends: the burst passes, and little more; its own frames are not counted."""
    wanted = Vif(id=DeviceId(VM, "0"), mac=MAC, other_config=(("rate-to-guest", "1"),))
    room.network.set_rules(port_rules("vif1.0", wanted))
    sent = [ethernet(f"full {n}", 0x88B6, bytes(1024)) for n in range(300)]
    assert sum(room.passes(frame) for frame in sent[:50]) == 50
    for frame in sent:
        room.friend.send(frame)
    room.network.set_rules(port_rules("vif1.0", Vif(id=DeviceId(VM, "0"), mac=MAC)))
    end = room.mark()
    room.friend.send(end)
    got = room.guest.get(end, PATIENCE_S)
    assert got is not None
    assert 110 <= len(got) <= 200


def chains(host: Host) -> list[str]:
    command = ["ip", "netns", "exec", host.namespace, "nft", "list", "ruleset"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.split()[1] for line in text.splitlines() if line.strip().startswith("chain ")]


def test_rules_come_and_go_with_the_vif_and_outlive_the_worker(tmp_path: Path) -> None:
    with Host(tmp_path) as host:
        vm, first, second = host.vm(), vif(0, locking_mode=LOCKED), vif(1)
        host.create(vm)
        host.backend.vif.plug(host.task, VM, first)
        host.backend.vif.plug(host.task, VM, second)
        host.launch(vm)
        assert chains(host) == ["from-vif1.0"]
        host.backend.vif.set_locking_mode(host.task, VM, second, Disabled())
        both = ["from-vif1.0", "from-vif1.1", "to-vif1.1"]
        assert sorted(chains(host)) == both
        host.backend.stop()
        subprocess.run(["ip", "netns", "exec", host.namespace, "nft", "flush", "ruleset"], check=True)
        host.open()
        assert sorted(chains(host)) == both
        host.backend.vif.unplug(host.task, VM, second, force=True)
        assert chains(host) == ["from-vif1.0"]
        host.backend.vif.set_locking_mode(host.task, VM, first, Unlocked())
        assert chains(host) == []
        host.backend.vif.plug(host.task, VM, vif(2, rate=(100, 0)))
        assert chains(host) == ["from-vif1.2"]
        host.backend.vm.destroy(host.task, vm)
        assert chains(host) == []


def test_rules_that_make_no_sense_are_refused_before_anything_is_plugged(tmp_path: Path) -> None:
    with Host(tmp_path) as host:
        vm = host.vm()
        host.create(vm)
        nowhere = Locked(addresses=LockedAddresses(ipv4=("10.0.0.1; accept",), ipv6=()))
        error = refusal(lambda: host.backend.vif.plug(host.task, VM, vif(0, locking_mode=nowhere)))
        assert isinstance(error, InternalError)
        assert "single IPv4 addresses" in error.message
        assert not host.backend.vif.get_state(VM, vif(0)).plugged
