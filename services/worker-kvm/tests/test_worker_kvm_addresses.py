"""Which addresses an interface shall have, what a guest is told to do for that, and what it answers."""

import subprocess
from base64 import b64encode
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine.conformance.subject import refusal
from hypothesis import given
from hypothesis import strategies as st
from schema.ids import DeviceId
from schema.objects.errors import InternalError, Unimplemented
from schema.objects.vif import (
    Autoconf6,
    Dhcp4,
    Ipv4Configuration,
    Ipv6Configuration,
    Static4,
    Static6,
    Unspecified4,
    Unspecified6,
    Vif,
)
from worker_kvm.addresses import (
    POLLS_S,
    SCRIPT,
    Addressed,
    Addresses,
    Call,
    obeyed,
    obstacle,
    orders,
    refuse_automatic,
    wanted,
    with_addressed,
)
from worker_kvm.qemu.guest_agent import AgentRefusedError, Told

MAC = "52:54:00:AA:00:01"
LINUX = Told(system=(("data/os_distro", "debian"),), runs_programs=True)
NO_GATEWAY = Static4(addresses=("192.0.2.8/25",), gateway="")


@dataclass(frozen=True, slots=True)
class Nic:
    """An interface of a domain's."""

    vif: Vif
    plugs: int = 0


def vif(
    ipv4: Ipv4Configuration | None = None, ipv6: Ipv6Configuration | None = None, position: int = 0
) -> Vif:
    return Vif(
        id=DeviceId("vm", str(position)),
        position=position,
        mac=MAC,
        ipv4_configuration=ipv4 or Unspecified4(),
        ipv6_configuration=ipv6 or Unspecified6(),
    )


FOUR = Static4(addresses=("192.0.2.7/24", "192.0.2.6/24"), gateway="192.0.2.1")
SIX = Static6(addresses=("2001:0DB8::7/64",), gateway="fe80::1")
BOTH = vif(FOUR, SIX)


def test_an_interface_is_given_what_is_static_and_sees_to_the_rest_itself() -> None:
    assert wanted(BOTH) == Addresses(
        addresses=("192.0.2.7/24", "192.0.2.6/24", "2001:db8::7/64"), gateways=("192.0.2.1", "fe80::1")
    )
    assert wanted(vif(NO_GATEWAY)) == Addresses(addresses=("192.0.2.8/25",))
    assert wanted(vif(Dhcp4(), Autoconf6())) == wanted(vif()) == Addresses()


@pytest.mark.parametrize(
    ("ipv4", "words"),
    [
        (Static4(addresses=(), gateway=None), "none is given"),
        (Static4(addresses=("192.0.2.7",), gateway=None), "no IPv4 address with its prefix"),
        (Static4(addresses=("2001:db8::7/64",), gateway=None), "no IPv4 address with its prefix"),
        (Static4(addresses=("fe80::1%;reboot/64",), gateway=None), "no IPv4 address with its prefix"),
        (Static4(addresses=("192.0.2.7/99",), gateway=None), "no IPv4 address with its prefix"),
        (Static4(addresses=("192.0.2.7/24",), gateway="192.0.2.1/24"), "no IPv4 address: give"),
        (Static4(addresses=("192.0.2.7/24",), gateway="fe80::1"), "no IPv4 address: give"),
        (Static4(addresses=("192.0.2.7/24",), gateway="fe80::1%$(reboot)"), "no IPv4 address: give"),
    ],
)
def test_what_is_no_address_is_refused(ipv4: Static4, words: str) -> None:
    error = refusal(lambda: wanted(vif(ipv4)))
    assert isinstance(error, InternalError)
    assert words in error.message


def test_what_comes_by_itself_is_not_begun_by_us() -> None:
    for configuration in (Dhcp4(), Autoconf6()):
        assert refusal(lambda: refuse_automatic("that", configuration)) == Unimplemented(what="that")  # noqa: B023
    for other in (FOUR, SIX, Unspecified4(), Unspecified6()):
        refuse_automatic("that", other)


def test_an_order_says_what_differs_for_each_family_alone() -> None:
    [first] = orders([Nic(BOTH, plugs=3)], ())
    assert first.words == (
        *("52:54:00:aa:00:01", "1", "+address", "192.0.2.7/24", "+address", "192.0.2.6/24"),
        *("+gateway", "192.0.2.1", "+address", "2001:db8::7/64", "+gateway", "fe80::1"),
    )
    assert (first.id, first.position) == (BOTH.id, 0)
    assert first.addressed == Addressed(device="0", plugs=3, has=wanted(BOTH))
    has = [first.addressed]
    assert not list(orders([Nic(BOTH, plugs=3)], has))
    [changed] = orders([Nic(vif(NO_GATEWAY, SIX), plugs=3)], has)
    assert changed.words[2:] == (
        *("-gateway", "192.0.2.1", "-address", "192.0.2.7/24", "-address", "192.0.2.6/24"),
        *("+address", "192.0.2.8/25"),
    )
    [left] = orders([Nic(vif(FOUR), plugs=3)], has)
    assert left.words[2:] == ("-gateway", "fe80::1", "-address", "2001:db8::7/64")


def test_another_card_in_its_place_has_nothing_of_what_one_was_given() -> None:
    [first] = orders([Nic(BOTH)], ())
    [again] = orders([Nic(BOTH, plugs=1)], [first.addressed])
    assert again.words == first.words
    assert not list(orders([Nic(vif())], ()))
    assert not list(orders([Nic(vif(Static4(addresses=("none",), gateway=None)))], ()))


def test_what_is_noted_is_of_cards_that_there_are_and_have_something() -> None:
    one, two = (Addressed(device=str(number), plugs=number, has=wanted(BOTH)) for number in (0, 1))
    nics = [Nic(vif(position=0), plugs=0), Nic(vif(position=1), plugs=1)]
    assert with_addressed((one,), two, nics) == (one, two)
    assert with_addressed((one,), two, nics[1:]) == (two,)
    none = one.model_copy(update={"has": Addresses()})
    assert with_addressed((one, two), none, nics) == (two,)


def test_a_guest_that_cannot_is_known_before_it_is_asked() -> None:
    assert obstacle(LINUX) == ""
    assert "guest-exec" in obstacle(Told(system=LINUX.system))
    for system in ((), (("data/os_distro", "mswindows"),)):
        assert "no Linux" in obstacle(Told(system=system, runs_programs=True))


ORDER = next(iter(orders([Nic(BOTH)], ())))
Steps = Generator[Call | float, object, str]


def outcome(*answers: object) -> str:
    """What comes of an order whose agent answers so, `None` standing for each wait."""
    steps = obeyed(ORDER)
    step = next(steps)
    try:
        for answer in answers:
            while isinstance(step, float):
                step = next(steps)
            step = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
        while True:
            step = next(steps) if isinstance(step, float) else steps.send({"exited": False})
    except StopIteration as end:
        return str(end.value)


def test_an_order_is_a_program_that_is_waited_for() -> None:
    steps = obeyed(ORDER)
    command, arguments = next(steps)  # type: ignore[misc]
    assert command == "guest-exec"
    assert arguments["arg"] == ["-c", SCRIPT, "xenops", *ORDER.words]
    assert steps.send({"pid": 7}) == POLLS_S[0]
    assert next(steps) == ("guest-exec-status", {"pid": 7})
    assert steps.send({"exited": False}) == POLLS_S[1]
    assert outcome({"pid": 7}, {"exited": False}, {"exited": True, "exitcode": 0}) == ""


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ((AgentRefusedError("guest-exec has been disabled"),), "guest-exec has been disabled"),
        ((AgentRefusedError(""),), "its agent says no"),
        (({"pid": "x"},), "its agent does not answer as one does"),
        (([],), "its agent does not answer as one does"),
        (({"pid": 7}, AgentRefusedError("no such pid")), "no such pid"),
        (({"pid": 7},), "what sets them does not end"),
        (({"pid": 7}, "rubbish", {"exited": True, "exitcode": 3}), "it ended with 3"),
        (({"pid": 7}, {"exited": True, "signal": 9}), "it was ended"),
        (({"pid": 7}, {"exited": True, "exitcode": 1, "err-data": "é"}), "it ended with 1"),
        (
            (
                {"pid": 7},
                {"exited": True, "exitcode": 1, "err-data": b64encode(b"no\n such \x1b[1m dev").decode()},
            ),
            "no such [1m dev",
        ),
    ],
)
def test_why_an_order_was_not_obeyed_is_the_guests_word_made_plain(
    answers: tuple[object, ...], words: str
) -> None:
    assert outcome(*answers) == words


@given(st.lists(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists), max_size=20))
def test_whatever_an_agent_answers_there_is_an_end(answers: list[object]) -> None:
    assert isinstance(outcome(*answers), str)


Run = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture(name="run")
def run_script(tmp_path: Path) -> Run:
    """Runs the script where `ip` notes what it is told, and does not do what begins as `failing`."""

    def run(*words: str, failing: str = "nothing") -> tuple[int, str, list[str]]:
        noted, ip = tmp_path / "noted", tmp_path / "ip"
        noted.unlink(missing_ok=True)
        ip.write_text(
            f'#!/bin/sh\necho "$@" >>{noted}\n'
            f'case "$*" in {failing}*) echo "ip says no" >&2; exit 2 ;; esac\n'
        )
        ip.chmod(0o755)
        done = subprocess.run(
            ["/bin/sh", "-c", SCRIPT.replace("/sys/class/net", str(tmp_path / "net")), "xenops", *words],
            env={"PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        said = noted.read_text().splitlines() if noted.exists() else []
        return done.returncode, done.stderr.strip(), said

    for name, mac, is_card in (("br0", "a", False), ("eth0", "a", True), ("eth1", "b", True)):
        place = tmp_path / "net" / name
        place.mkdir(parents=True)
        (place / "address").write_text(f"{mac}\n")
        if is_card:
            (place / "device").mkdir()
    return run


def test_the_script_finds_the_card_and_changes_only_what_it_is_told(run: Run) -> None:
    words = (
        "-gateway",
        "192.0.2.1",
        "-address",
        "192.0.2.7/24",
        "+address",
        "2001:db8::7/64",
        "+gateway",
        "fe80::1",
    )
    assert run("a", "2", *words) == (
        0,
        "",
        [
            "link set dev eth0 up",
            "-4 route del default via 192.0.2.1 dev eth0 metric 2",
            "-4 address del 192.0.2.7/24 dev eth0",
            "-6 address replace 2001:db8::7/64 dev eth0",
            "-6 route replace default via fe80::1 dev eth0 metric 2",
        ],
    )


def test_the_script_ends_with_what_went_wrong_but_for_what_is_gone_already(run: Run) -> None:
    assert run("c", "1", "+address", "192.0.2.7/24") == (1, "no interface has the MAC c", [])
    code, said, _ = run("b", "1", "+address", "192.0.2.7/24", failing="-4' 'address")
    assert (code, said) == (2, "ip says no")
    assert run("b", "1", "-address", "192.0.2.7/24", failing="-4' 'address")[:2] == (0, "")
    assert run("b", "1", "+gateway", "192.0.2.1", failing="-4' 'route")[0] == 2
    assert run("b", "1", "-gateway", "192.0.2.1", failing="-4' 'route")[0] == 0
    assert run("b", "1", failing="link")[0] == 2
