"""Port rules: what the guest behind a tap may send and get, as a script for nftables; values and no I/O.

A tap is the host's end of a VIF, whatever makes it: QEMU's tap, or netback's interface. The rules hang on it
itself (family netdev), so that frames of other ports cost nothing, whatever bridge it is moved to. Chains
are named after their tap: `from-vif1.0` has what the guest sends.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schema.fault import internal_error
from schema.objects.vif import Disabled, Locked, LockedAddresses, LockingMode, Unlocked, Vif

TABLE = "netdev xenops"
"""Of nftables, in the taps' network namespace; it is ours alone."""

BURST_BYTES_MIN = 131_072
"""Segmentation is left to the host: one frame may have 64 KiB, and one larger than the burst never passes."""

_BURST_BYTES_MAX = 2**32 - 1
_RATE_KIB_MAX = 2**32 - 1

RATE_TO_GUEST = "rate-to-guest"
"""The key of `Vif.other_config` for what the guest gets: KiB/s, perhaps a comma and a timeslice in µs."""

VLAN_MAX = 4094
"""802.1Q's; 0 stands for frames without a tag, as in Open vSwitch's `trunks`."""

_RATE = re.compile(r"([0-9]{1,10})(?:,([0-9]{1,10}))?")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class PortRules:
    """A tap's rules.

    `mac` is lower case; `rate` and `rate_to_guest` are KiB/s and the bytes of a burst, None: no limit;
    `trunks` are the VLANs that pass, none: all.
    """

    tap: str
    mac: str
    mode: LockingMode
    rate: tuple[int, int] | None = None
    rate_to_guest: tuple[int, int] | None = None
    trunks: tuple[int, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether nothing is forbidden."""
        return self == PortRules(self.tap, self.mac, Unlocked())


def port_rules(tap: str, vif: Vif) -> PortRules:
    """The rules of a VIF, checked.

    `Vif.rate` is KiB/s and a timeslice in microseconds, as Xen's netback has them: it holds what the guest
    sends, and `RATE_TO_GUEST` what it gets. Addresses are single ones, IPv4 or IPv6, without a prefix or a
    zone.

    Errors: `Internal_error` that names the MAC, the address, the rate or the VLAN that makes no sense.
    """
    mac = vif.mac.lower()
    if not _MAC.fullmatch(mac):
        raise internal_error(
            f"VIF {vif.id.device} has the MAC {vif.mac!r}: give six bytes as 52:54:00:00:00:01"
        )
    if isinstance(vif.locking_mode, Locked):
        _checked(vif.locking_mode.addresses)
    rate = None if vif.rate is None else _rate(vif.rate)
    return PortRules(tap, mac, vif.locking_mode, rate, _rate_to_guest(vif), _trunks(vif.trunks))


def setting(rules: PortRules) -> str:
    """The script that makes a tap's rules these, in one transaction, whatever they were."""
    trunks = list(_trunk_rules(rules))
    received = (
        _chain(rules.tap, "from", "ingress"),
        [*_rate_rules(rules.rate), *trunks, *_mode_rules(rules)],
    )
    sent = (
        _chain(rules.tap, "to", "egress"),
        ["drop"] if isinstance(rules.mode, Disabled) else [*trunks, *_rate_rules(rules.rate_to_guest)],
    )
    lines = [f"add table {TABLE}"]
    for (name, hook), wanted in (received, sent):
        lines += [f"add chain {TABLE} {name} {hook}", f"flush chain {TABLE} {name}"]
        lines += [f"add rule {TABLE} {name} {rule}" for rule in wanted]
        if not wanted:
            lines.append(f"delete chain {TABLE} {name}")
    return "\n".join(lines) + "\n"


def taps_of(chains: Iterable[str]) -> set[str]:
    """The taps that chains of the table belong to."""
    return {
        tap for direction, _, tap in (chain.partition("-") for chain in chains) if direction in {"from", "to"}
    }


def clearing(chains: Iterable[str], taps: Iterable[str]) -> str:
    """The script that removes what is there, `chains`, of these taps."""
    gone = set(taps)
    names = sorted(chain for chain in chains if taps_of([chain]) & gone)
    return "".join(f"flush chain {TABLE} {name}\ndelete chain {TABLE} {name}\n" for name in names)


def _chain(tap: str, direction: str, hook: str) -> tuple[str, str]:
    place = f'type filter hook {hook} device "{tap}" priority 0; policy accept;'
    return f"{direction}-{tap}", f"{{ {place} }}"


def _rate_rules(rate: tuple[int, int] | None) -> Iterator[str]:
    if rate is not None:
        kib, burst = rate
        yield f"limit rate over {kib} kbytes/second burst {burst} bytes drop"


def _trunk_rules(rules: PortRules) -> Iterator[str]:
    """Both ways alike. What is tagged twice is of no VLAN that a list can name."""
    if rules.trunks:
        yield f"vlan id != {_set(map(str, rules.trunks))} drop"
        yield f"ether type {'8021ad' if 0 in rules.trunks else '!= 8021q'} drop"


def _mode_rules(rules: PortRules) -> Iterator[str]:
    match rules.mode:
        case Unlocked():
            return
        case Disabled():
            yield "drop"
        case Locked(addresses=addresses):
            yield from _locked(rules.mac, *_checked(addresses))


def _locked(mac: str, ipv4: list[ipaddress.IPv4Address], ipv6: list[ipaddress.IPv6Address]) -> Iterator[str]:
    """Frames of the own MAC, untagged, with the own addresses; what asks for an address by DHCP."""
    yield f"ether saddr != {mac} drop"
    yield "ether type { 8021q, 8021ad } drop"
    yield "ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept"
    if ipv4:
        own = _set(map(str, ipv4))
        yield f"arp saddr ether {mac} arp saddr ip {own} accept"
        yield f"arp saddr ether {mac} arp saddr ip 0.0.0.0 arp daddr ip {own} accept"
        yield f"ip saddr {own} accept"
    if ipv6:
        own, targets = _set(map(str, ipv6)), _set(f"{int(address):#034x}" for address in ipv6)
        target = "@th,64,128"
        yield f"ip6 saddr :: icmpv6 type nd-neighbor-solicit {target} {targets} accept"
        yield "icmpv6 type { nd-router-advert, nd-redirect } drop"
        yield f"icmpv6 type nd-neighbor-advert {target} != {targets} drop"
        yield f"ip6 saddr {own} accept"
    yield "drop"


def _set(words: Iterable[str]) -> str:
    return f"{{ {', '.join(dict.fromkeys(words))} }}"


def _checked(
    addresses: LockedAddresses,
) -> tuple[list[ipaddress.IPv4Address], list[ipaddress.IPv6Address]]:
    return (
        [ipaddress.IPv4Address(_address(text, 4)) for text in addresses.ipv4],
        [ipaddress.IPv6Address(_address(text, 6)) for text in addresses.ipv6],
    )


def _address(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != version or "%" in text:
        raise internal_error(f"A VIF cannot be locked to {text!r}: give single IPv{version} addresses")
    return text


def _trunks(trunks: Iterable[int]) -> tuple[int, ...]:
    found = tuple(dict.fromkeys(trunks))
    for vlan in found:
        if not 0 <= vlan <= VLAN_MAX:
            raise internal_error(
                f"A VIF cannot be a trunk of VLAN {vlan}: give 1 to {VLAN_MAX}, and 0 for what has no tag"
            )
    return found


def _rate_to_guest(vif: Vif) -> tuple[int, int] | None:
    text = dict(vif.other_config).get(RATE_TO_GUEST)
    if text is None:
        return None
    match = _RATE.fullmatch(text)
    if match is None:
        raise internal_error(
            f"VIF {vif.id.device} has the {RATE_TO_GUEST} {text!r}: give KiB/s as 1000, or with a timeslice "
            "in µs as 1000,50000"
        )
    return _rate((int(match[1]), int(match[2] or 0)))


def _rate(rate: tuple[int, int]) -> tuple[int, int]:
    kib, timeslice_us = rate
    if not (0 < kib <= _RATE_KIB_MAX and timeslice_us >= 0):
        raise internal_error(
            f"A VIF cannot have the rate {kib} KiB/s in slices of {timeslice_us} µs: give a rate from 1 to "
            f"{_RATE_KIB_MAX}, and no negative slice"
        )
    burst = kib * 1024 * timeslice_us // 1_000_000
    return kib, min(max(burst, BURST_BYTES_MIN), _BURST_BYTES_MAX)
