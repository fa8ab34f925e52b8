"""Addresses: which a guest's interface shall have, and how its agent gives it those; values and no I/O.

The agent is qemu-guest-agent, the guest a Linux: some lines of shell in it find the interface by its MAC, and
call `ip`. What the guest has besides is not touched, and nothing of it outlives the guest's boot.
"""

import ipaddress
from base64 import b64decode
from binascii import Error as NoBase64Error
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.hosted.machine import Value
from schema.fault import XenopsError, internal_error, unimplemented
from schema.ids import DeviceId
from schema.objects.vif import (
    Ipv4Configuration,
    Ipv6Configuration,
    Static4,
    Static6,
    Unspecified4,
    Unspecified6,
    Vif,
)

from worker_kvm.qemu.guest_agent import AgentRefusedError, Told, plain

SCRIPT = """\
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
mac=$1 metric=$2 dev=
shift 2
for path in /sys/class/net/*; do
    [ -e "$path/device" ] && read -r found <"$path/address" && [ "$found" = "$mac" ] && dev=${path##*/}
done
[ -n "$dev" ] || { echo "no interface has the MAC $mac" >&2; exit 1; }
ip link set dev "$dev" up || exit
while [ $# -gt 1 ]; do
    case $2 in *:*) family=-6 ;; *) family=-4 ;; esac
    case $1 in
        -address) ip "$family" address del "$2" dev "$dev" 2>/dev/null ;;
        +address) ip "$family" address replace "$2" dev "$dev" || exit ;;
        -gateway) ip "$family" route del default via "$2" dev "$dev" metric "$metric" 2>/dev/null ;;
        +gateway) ip "$family" route replace default via "$2" dev "$dev" metric "$metric" || exit ;;
    esac
    shift 2
done
exit 0
"""
"""What the guest runs: as little as it takes, so that any shell and any `ip`, busybox's too, can do it."""

POLLS_S = tuple(min(0.05 * 2**number, 1.0) for number in range(12))
"""How long is waited before each look whether it has ended; some eight seconds together."""

_METRIC = 1
"""Of the first interface's gateway; each next one's is greater: so none takes another's place."""

Call = tuple[str, Mapping[str, object]]
"""A command of the agent's, and its arguments."""


class Plugged(Protocol):
    """An interface that a domain has, on either backend."""

    @property
    def vif(self) -> Vif:
        """As it is configured now."""

    @property
    def plugs(self) -> int:
        """Which card: another one in its place has another number."""


class Addresses(Value):
    """What one interface has, or shall have: addresses with their prefixes, and gateways."""

    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()


class Addressed(Value):
    """What an agent has given an interface since its guest booted."""

    device: str
    """The VIF's."""
    plugs: int
    """Of which card: another one in its place has nothing of it."""
    has: Addresses


@dataclass(frozen=True, slots=True)
class Order:
    """What an agent is to make of an interface's addresses."""

    id: DeviceId
    position: int
    words: tuple[str, ...]
    """Of the script."""
    addressed: Addressed
    """What it has when that is done."""


def wanted(vif: Vif) -> Addresses:
    """What an interface shall have; nothing: its guest sees to it itself.

    Errors: `Internal_error`, a static configuration has no address, or what is none.
    """
    addresses: list[str] = []
    gateways: list[str] = []
    for configuration, family in ((vif.ipv4_configuration, 4), (vif.ipv6_configuration, 6)):
        if isinstance(configuration, Static4 | Static6):
            addresses += _addresses(vif, configuration.addresses, family)
            gateways += _gateways(vif, configuration.gateway, family)
    return Addresses(addresses=tuple(addresses), gateways=tuple(gateways))


def refuse_automatic(what: str, configuration: Ipv4Configuration | Ipv6Configuration) -> None:
    """No command has any Linux begin with DHCP, whatever looks after its network. Errors: `Unimplemented`."""
    if not isinstance(configuration, Static4 | Static6 | Unspecified4 | Unspecified6):
        raise unimplemented(what)


def orders(nics: Iterable[Plugged], addressed: Sequence[Addressed]) -> Iterator[Order]:
    """What is to be done in a guest whose interfaces were given that much."""
    known = {(each.device, each.plugs): each.has for each in addressed}
    for nic in nics:
        vif, plugs = nic.vif, nic.plugs
        has = known.get((vif.id.device, plugs), Addresses())
        try:
            wants = wanted(vif)
        except XenopsError:
            continue  # of a worker before us, which looked at none: it was not refused then
        if has != wants:
            words = (vif.mac.lower(), str(_METRIC + vif.position), *_words(has, wants))
            done = Addressed(device=vif.id.device, plugs=plugs, has=wants)
            yield Order(vif.id, vif.position, words, done)


def with_addressed(
    addressed: Sequence[Addressed], done: Addressed, nics: Iterable[Plugged]
) -> tuple[Addressed, ...]:
    """The same with what an interface has now, of those that there are."""
    there = {(nic.vif.id.device, nic.plugs) for nic in nics}
    known = {each.device: each for each in (*addressed, done) if (each.device, each.plugs) in there}
    return tuple(each for each in known.values() if each.has != Addresses())


def obstacle(told: Told) -> str:
    """Why a guest's interfaces cannot be given addresses by its agent; empty: they can."""
    if not told.runs_programs:
        return "its agent runs no programs: allow it guest-exec"
    return "" if told.is_linux else "its system is no Linux, and gets addresses by DHCP or by hand alone"


def obeyed(order: Order) -> Generator[Call | float, object, str]:
    """How an agent carries out an order: yields what it is asked, or for how many seconds is waited.

    It is sent the answers, and `AgentRefusedError`. Answers why it has not, as the guest says; empty: it has.
    """
    arguments = {
        "path": "/bin/sh",
        "arg": ["-c", SCRIPT, "xenops", *order.words],
        "capture-output": True,
    }
    try:
        begun = yield "guest-exec", arguments
        pid = begun.get("pid") if isinstance(begun, dict) else None
        if not isinstance(pid, int):
            return "its agent does not answer as one does"
        for pause_s in POLLS_S:
            yield pause_s
            status = yield "guest-exec-status", {"pid": pid}
            if isinstance(status, dict) and status.get("exited") is True:
                return _outcome(status)
    except AgentRefusedError as error:
        return str(error) or "its agent says no"
    return "what sets them does not end"


def _addresses(vif: Vif, given: Sequence[str], family: int) -> Iterator[str]:
    if not given:
        raise internal_error(
            f"VIF {vif.id.device} is to have a static address, and none is given: give one with its prefix, "
            "as 192.0.2.1/24"
        )
    for text in given:
        try:
            found = ipaddress.ip_interface(text if "/" in text and "%" not in text else "")
        except ValueError:
            found = None
        if found is None or found.version != family:
            raise internal_error(
                f"VIF {vif.id.device} is to have {text[:60]!r}, which is no IPv{family} address with its "
                "prefix: give one as 192.0.2.1/24 or 2001:db8::1/64"
            )
        yield found.with_prefixlen


def _gateways(vif: Vif, given: str | None, family: int) -> Iterator[str]:
    if not given:  # xapi has an empty one where there is none
        return
    try:
        found = ipaddress.ip_address(given if "%" not in given else "")
    except ValueError:
        found = None
    if found is None or found.version != family:
        raise internal_error(
            f"VIF {vif.id.device} is to have the gateway {given[:60]!r}, which is no IPv{family} address: "
            "give one as 192.0.2.254 or 2001:db8::ff"
        )
    yield str(found)


def _words(has: Addresses, wants: Addresses) -> Iterator[str]:
    """Of the families that differ. Gateways go before the addresses by which they are reached."""
    for is_of in (_is_4, _is_6):
        old, new = _of_family(has, is_of), _of_family(wants, is_of)
        if old != new:
            yield from _each("-gateway", (each for each in old.gateways if each not in new.gateways))
            yield from _each("-address", (each for each in old.addresses if each not in new.addresses))
            yield from _each("+address", new.addresses)
            yield from _each("+gateway", new.gateways)


def _is_6(text: str) -> bool:
    return ":" in text


def _is_4(text: str) -> bool:
    return not _is_6(text)


def _of_family(all_: Addresses, is_of: Callable[[str], bool]) -> Addresses:
    return Addresses(
        addresses=tuple(filter(is_of, all_.addresses)), gateways=tuple(filter(is_of, all_.gateways))
    )


def _each(verb: str, words: Iterable[str]) -> Iterator[str]:
    for word in words:
        yield from (verb, word)


def _outcome(status: Mapping[str, Any]) -> str:
    code = status.get("exitcode")
    if code == 0:
        return ""
    try:
        words = b64decode(str(status.get("err-data", ""))[:4096]).decode(errors="replace")
    except (NoBase64Error, ValueError):
        words = ""
    said = plain(" ".join(words.split()))
    return said or (f"it ended with {code}" if isinstance(code, int) else "it was ended")
