"""What a guest's agent says becomes the original's keys, and whatever a guest says, nothing else does."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schema.ids import DeviceId
from schema.objects.vif import Vif
from worker_kvm.qemu.guest_agent import (
    ADDRESSES_MAX,
    INTERFACES_MAX,
    TEXT_CHARS_MAX,
    AgentRefusedError,
    Told,
    addresses,
    agent_keys,
    answer,
    memory_kib,
    plain,
    request,
    runs_programs,
    system_keys,
)

MAC = "52:54:00:AA:bb:01"
DEBIAN = {
    "id": "debian",
    "name": "Debian GNU/Linux",
    "pretty-name": "Debian GNU/Linux 12 (bookworm)",
    "version-id": "12.5",
    "kernel-release": "6.1.0-56-amd64",
}


def vif(position: int, mac: str = MAC) -> Vif:
    return Vif(id=DeviceId("vm", str(position)), position=position, mac=mac)


def interface(*found: object, mac: object = MAC) -> Mapping[str, object]:
    return {"name": "eth0", "hardware-address": mac, "ip-addresses": [{"ip-address": ip} for ip in found]}


def test_a_system_is_told_by_the_originals_keys() -> None:
    assert system_keys(DEBIAN, {"host-name": "web1"}) == (
        ("data/os_name", "Debian GNU/Linux 12 (bookworm)"),
        ("data/os_distro", "debian"),
        ("data/os_uname", "6.1.0-56-amd64"),
        ("data/os_majorver", "12"),
        ("data/os_minorver", "5"),
        ("data/host_name_dns", "web1"),
    )


def test_what_a_system_does_not_tell_is_left_out() -> None:
    assert system_keys({"name": "Tiny"}, None) == (("data/os_name", "Tiny"),)
    assert system_keys(None, None) == ()


def test_addresses_are_those_of_the_vms_own_interfaces() -> None:
    told = Told(
        addresses=addresses(
            [
                interface("127.0.0.1", mac="00:00:00:00:00:00"),
                interface("192.0.2.7", "fe80::1%eth0", "none at all", "2001:DB8::1"),
                interface("192.0.2.7", "192.0.2.8", mac=MAC.lower()),
            ]
        )
    )
    assert agent_keys(told, [vif(3), vif(1, "52:54:00:00:00:99")]) == (
        ("attr/vif/3/ipv4/0", "192.0.2.7"),
        ("attr/vif/3/ipv4/1", "192.0.2.8"),
        ("attr/vif/3/ipv6/0", "fe80::1"),
        ("attr/vif/3/ipv6/1", "2001:db8::1"),
        ("data/updated", "1"),
    )


def test_no_agent_no_keys() -> None:
    assert agent_keys(None, [vif(0)]) == ()


def test_memory_is_what_the_guest_counts() -> None:
    stats = {"stat-total-memory": 96 << 20, "stat-free-memory": 1 << 20, "stat-available-memory": 60 << 20}
    assert memory_kib({"stats": stats}) == (96 << 10, 60 << 10)
    keys = agent_keys(Told(memory_kib=(98304, 61440)), [])
    assert keys[:2] == (("data/meminfo_total", "98304"), ("data/meminfo_free", "61440"))


@pytest.mark.parametrize(
    "stats", [None, {}, {"stat-total-memory": 2**64 - 1, "stat-free-memory": 0}, {"stat-total-memory": "1"}]
)
def test_memory_that_a_guest_does_not_count_is_not_told(stats: object) -> None:
    assert memory_kib({"stats": stats}) is None


def test_only_how_much_memory_is_free_changes_without_being_news() -> None:
    before = Told(system=(("a", "b"),), memory_kib=(2, 1))
    assert before.differs(None)
    assert not Told(system=before.system, memory_kib=(2, 2)).differs(before)
    assert Told(system=before.system, memory_kib=(3, 1)).differs(before)
    assert Told(memory_kib=(2, 1)).differs(before)


def test_a_request_is_a_line() -> None:
    assert json.loads(request("guest-sync-delimited", id=7)) == {
        "execute": "guest-sync-delimited",
        "arguments": {"id": 7},
    }
    assert request("x").endswith(b"}\n")


def test_an_answer_is_read_and_a_refusal_told_in_plain_words() -> None:
    assert answer(b'{"return": [1]}\n') == [1]
    with pytest.raises(AgentRefusedError, match="no, never"):
        answer(b'{"error": {"class": "GenericError", "desc": "no\\u001b, never\\n"}}')


@pytest.mark.parametrize(
    "line", [b"", b"\0\0", b"\xff{}", b"[]", b'{"error": 1}', b"[" * 100_000, b"9" * 5000, b'{"return"']
)
def test_what_is_no_answer_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        answer(line)


def test_a_guests_words_are_short_and_disturb_nobody() -> None:
    assert plain("a\x1b[2J\ud800\u202eb\r\n") == "a[2Jb"
    assert len(plain("x" * 10**6)) == TEXT_CHARS_MAX
    assert plain(7) == ""


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(("name", "pretty-name", "hardware-address", "ip-addresses", "ip-address", "stats")),
        inner,
    ),
    max_leaves=20,
)  # fmt: skip


@given(json_values, json_values, json_values)
def test_whatever_a_guest_answers_becomes_few_short_keys(
    system: object, network: object, stats: object
) -> None:
    told = Told(system_keys(system, system), addresses(network), memory_kib(stats))
    keys = agent_keys(told, [vif(0)])
    assert all(value.isprintable() and len(value) <= TEXT_CHARS_MAX for _, value in keys)
    assert len(dict(keys)) == len(keys)


def test_thousands_of_addresses_become_a_few() -> None:
    many = [f"10.0.{number >> 8}.{number & 255}" for number in range(4096)]
    found = addresses([interface(*many), *[interface(mac=f"m{n}") for n in range(2 * INTERFACES_MAX)]])
    assert len(found) == INTERFACES_MAX
    assert len(agent_keys(Told(addresses=found), [vif(0)])) == ADDRESSES_MAX + 1


def test_whether_an_agent_runs_programs_it_says_itself() -> None:
    def info(**words: object) -> object:
        return {"supported_commands": [{"name": "guest-ping", "enabled": True}, words]}

    assert runs_programs(info(name="guest-exec", enabled=True))
    for other in (info(name="guest-exec", enabled=False), info(name="guest-exec"), info(), None, "rubbish"):
        assert not runs_programs(other)


def test_a_linux_whose_agent_runs_programs_can_be_given_addresses_and_says_why_it_has_none() -> None:
    feature = ("control/feature-static-ip-setting", "1")
    linux, windows = (("data/os_distro", "debian"),), (("data/os_distro", "mswindows"),)
    assert feature in agent_keys(Told(system=linux, runs_programs=True), ())
    for told in (Told(system=linux), Told(system=windows, runs_programs=True), Told(runs_programs=True)):
        assert feature not in agent_keys(told, ())
    keys = agent_keys(Told(faults=((3, "no such dev"),)), ())
    path = "xenserver/device/vif/3/static-ip-setting"
    assert {(f"{path}/error-code", "1"), (f"{path}/error-msg", "no such dev")} <= set(keys)
    assert Told(faults=((3, "no such dev"),)).differs(Told())
