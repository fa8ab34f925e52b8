"""What a guest may send, in nftables' language."""

import pytest
from engine.conformance.subject import refusal
from engine.hosted.port_rules import BURST_BYTES_MIN, clearing, port_rules, setting, taps_of
from schema.ids import DeviceId
from schema.objects.errors import InternalError
from schema.objects.vif import Disabled, Locked, LockedAddresses, LockingMode, Unlocked, Vif


def vif(
    mode: LockingMode | None = None, mac: str = "52:54:00:00:00:0A", rate: tuple[int, int] | None = None
) -> Vif:
    return Vif(id=DeviceId("v1", "0"), mac=mac, locking_mode=mode or Unlocked(), rate=rate)


def locked(ipv4: tuple[str, ...] = (), ipv6: tuple[str, ...] = ()) -> Locked:
    return Locked(addresses=LockedAddresses(ipv4=ipv4, ipv6=ipv6))


def script(mode: LockingMode | None = None, rate: tuple[int, int] | None = None) -> str:
    return setting(port_rules("vif1.0", vif(mode, rate=rate)))


def test_an_unlocked_tap_has_no_chains() -> None:
    assert port_rules("vif1.0", vif()).is_open
    assert script() == (
        "add table netdev xenops\n"
        'add chain netdev xenops from-vif1.0 { type filter hook ingress device "vif1.0" priority 0;'
        " policy accept; }\n"
        "flush chain netdev xenops from-vif1.0\n"
        "delete chain netdev xenops from-vif1.0\n"
        'add chain netdev xenops to-vif1.0 { type filter hook egress device "vif1.0" priority 0;'
        " policy accept; }\n"
        "flush chain netdev xenops to-vif1.0\n"
        "delete chain netdev xenops to-vif1.0\n"
    )


def test_a_disabled_tap_passes_nothing_either_way() -> None:
    assert "add rule netdev xenops from-vif1.0 drop\n" in script(Disabled())
    assert "add rule netdev xenops to-vif1.0 drop\n" in script(Disabled())


def test_a_locked_tap_passes_its_own_addresses_only() -> None:
    lines = script(locked(("10.0.0.1", "10.0.0.2", "10.0.0.1"), ("FD00::1",))).splitlines()
    prefix = "add rule netdev xenops from-vif1.0 "
    target = "0xfd000000000000000000000000000001"
    assert [line.removeprefix(prefix) for line in lines if line.startswith(prefix)] == [
        "ether saddr != 52:54:00:00:00:0a drop",
        "ether type { 8021q, 8021ad } drop",
        "ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept",
        "arp saddr ether 52:54:00:00:00:0a arp saddr ip { 10.0.0.1, 10.0.0.2 } accept",
        "arp saddr ether 52:54:00:00:00:0a arp saddr ip 0.0.0.0 arp daddr ip { 10.0.0.1, 10.0.0.2 } accept",
        "ip saddr { 10.0.0.1, 10.0.0.2 } accept",
        f"ip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 {{ {target} }} accept",
        "icmpv6 type { nd-router-advert, nd-redirect } drop",
        f"icmpv6 type nd-neighbor-advert @th,64,128 != {{ {target} }} drop",
        "ip6 saddr { fd00::1 } accept",
        "drop",
    ]
    assert "to-vif1.0 drop" not in "\n".join(lines)


def test_a_rate_is_a_limit_with_a_burst_that_a_frame_fits_into() -> None:
    assert f"limit rate over 100 kbytes/second burst {BURST_BYTES_MIN} bytes drop" in script(rate=(100, 0))
    assert "limit rate over 1000000 kbytes/second burst 51200000 bytes drop" in script(
        rate=(1_000_000, 50_000)
    )
    assert f"burst {2**32 - 1} bytes" in script(rate=(2**31, 10**9))
    assert not port_rules("vif1.0", vif(rate=(1, 1))).is_open


@pytest.mark.parametrize(
    "mac", ["", "52:54:00:00:00", "52:54:00:00:00:01 accept", "52:54:00:00:00:01\n", "52-54-00-00-00-01"]
)
def test_a_mac_that_is_none_is_refused(mac: str) -> None:
    error = refusal(lambda: port_rules("vif1.0", vif(mac=mac)))
    assert error == InternalError(message=f"VIF 0 has the MAC {mac!r}: give six bytes as 52:54:00:00:00:01")


@pytest.mark.parametrize("address", ["", "10.0.0.0/8", "10.0.0.1; drop", "fd00::1", "10.0.0.1\n", "1"])
def test_an_ipv4_address_that_is_none_is_refused(address: str) -> None:
    error = refusal(lambda: port_rules("vif1.0", vif(locked((address,)))))
    assert error == InternalError(
        message=f"A VIF cannot be locked to {address!r}: give single IPv4 addresses"
    )


@pytest.mark.parametrize("address", ["10.0.0.1", "fe80::1%eth0", "fe80::1%} drop", "fd00::/64"])
def test_an_ipv6_address_that_is_none_is_refused(address: str) -> None:
    assert "IPv6" in str(refusal(lambda: port_rules("vif1.0", vif(locked((), (address,))))))


@pytest.mark.parametrize("rate", [(0, 0), (-1, 0), (1, -1), (2**32, 0)])
def test_a_rate_that_is_none_is_refused(rate: tuple[int, int]) -> None:
    assert "KiB/s" in str(refusal(lambda: port_rules("vif1.0", vif(rate=rate))))


def test_what_is_there_of_a_tap_is_cleared_and_nothing_else() -> None:
    chains = ("from-vif1.0", "to-vif1.0", "from-vif1.01", "other")
    assert taps_of(chains) == {"vif1.0", "vif1.01"}
    assert clearing(chains, ["vif1.0", "vif9.9"]) == (
        "flush chain netdev xenops from-vif1.0\ndelete chain netdev xenops from-vif1.0\n"
        "flush chain netdev xenops to-vif1.0\ndelete chain netdev xenops to-vif1.0\n"
    )


def test_a_tap_locked_to_no_address_of_a_family_passes_nothing_of_that() -> None:
    assert "ip6" not in script(locked(("10.0.0.1",)))
    assert "arp" not in script(locked((), ("fd00::1",)))
    assert "ip saddr {" not in script(locked())


def test_a_trunk_passes_its_vlans_both_ways_and_nothing_without_a_tag() -> None:
    found = setting(port_rules("vif1.0", vif().model_copy(update={"trunks": (10, 20, 10)})))
    for chain in ("from-vif1.0", "to-vif1.0"):
        assert (
            f"add rule netdev xenops {chain} vlan id != {{ 10, 20 }} drop\n"
            f"add rule netdev xenops {chain} ether type != 8021q drop\n"
        ) in found
    assert not port_rules("vif1.0", vif().model_copy(update={"trunks": (10,)})).is_open


def test_vlan_0_stands_for_what_has_no_tag() -> None:
    found = setting(port_rules("vif1.0", vif().model_copy(update={"trunks": (0, 10)})))
    assert "to-vif1.0 ether type 8021ad drop\n" in found
    assert "!= 8021q" not in found


def test_a_disabled_trunk_passes_nothing_to_the_guest() -> None:
    found = setting(port_rules("vif1.0", vif(Disabled()).model_copy(update={"trunks": (10,)})))
    assert "to-vif1.0 drop\n" in found


@pytest.mark.parametrize("vlan", [-1, 4095, 2**40])
def test_a_vlan_that_is_none_is_refused(vlan: int) -> None:
    said = str(refusal(lambda: port_rules("vif1.0", vif().model_copy(update={"trunks": (vlan,)}))))
    assert f"VLAN {vlan}:" in said


def to_guest(rate: str) -> Vif:
    return vif().model_copy(update={"other_config": (("rate-to-guest", rate),)})


def test_what_the_guest_gets_has_a_rate_of_its_own() -> None:
    found = setting(port_rules("vif1.0", to_guest("1000,1000000")))
    assert (
        "add rule netdev xenops to-vif1.0 limit rate over 1000 kbytes/second burst 1024000 bytes drop\n"
        in found
    )
    assert "from-vif1.0 limit" not in found
    assert port_rules("vif1.0", to_guest("7")).rate_to_guest == (7, BURST_BYTES_MIN)


@pytest.mark.parametrize("rate", ["", "fast", "-1", "0", "1,", "1000 drop", "1\n", "99999999999"])
def test_a_rate_to_the_guest_that_is_none_is_refused(rate: str) -> None:
    assert "KiB/s" in str(refusal(lambda: port_rules("vif1.0", to_guest(rate))))
