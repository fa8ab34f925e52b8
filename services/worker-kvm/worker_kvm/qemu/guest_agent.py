"""Guest agent: what one in a guest says, as the original's keys; a guest may say anything at all.

The words are qemu-guest-agent's (docs/interop/qemu-ga-ref), the keys those of agents on Xen in xenstore.
"""

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schema.objects.vif import Vif

TEXT_CHARS_MAX = 256
"""Of a word of the guest's that is shown."""

ADDRESSES_MAX = 16
"""Of one interface, of each of both kinds."""

INTERFACES_MAX = 256
"""That are looked at; a guest may have many that are none of ours."""

_SYSTEM = {"pretty-name": "os_name", "id": "os_distro", "kernel-release": "os_uname"}
_WINDOWS = "mswindows"
_KIB = 1 << 10
_COUNT_MAX = 2**62
"""A count above it is QEMU's word for one that the guest does not keep."""

Key = tuple[str, str]
"""As `("data/os_name", "Debian GNU/Linux 12 (bookworm)")`."""


class AgentRefusedError(Exception):
    """The agent understood a command and said no; the text is the guest's, made plain."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an agent has told: keys of its system, addresses by MAC, memory as the guest counts it, in KiB."""

    system: tuple[Key, ...] = ()
    addresses: Mapping[str, tuple[str, ...]] | None = None
    memory_kib: tuple[int, int] | None = None
    """All of it, and what is free."""
    runs_programs: bool = False
    """Whether the agent would, if asked."""
    faults: tuple[tuple[int, str], ...] = ()
    """Why interfaces, by position, have not got the addresses that they shall have."""

    @property
    def is_linux(self) -> bool:
        """Whether its system, which is known, is one: only Windows has an id that is no Linux's."""
        ids = [value for key, value in self.system if key == "data/os_distro"]
        return bool(self.system) and _WINDOWS not in ids

    def differs(self, other: "Told | None") -> bool:
        """Whether clients want to know; how much memory is free changes all the time."""
        if other is None:
            return True
        return replace(self, memory_kib=_total(self)) != replace(other, memory_kib=_total(other))


def request(command: str, **arguments: object) -> bytes:
    """A command as the agent reads it."""
    return json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"


def answer(line: bytes) -> Any:
    """What an agent's line answers.

    Raises:
        AgentRefusedError: it says no.
        ValueError: it makes no sense.
    """
    try:
        found = json.loads(line)
    except RecursionError as error:
        raise ValueError("too deep") from error
    match found:
        case {"return": content}:
            return content
        case {"error": {"desc": str(words)}}:
            raise AgentRefusedError(plain(words))
        case _:
            raise ValueError("neither an answer nor an error")


def plain(words: object) -> str:
    """A word of the guest's without what would disturb whoever reads it; empty for what is no word."""
    if not isinstance(words, str):
        return ""
    return "".join(letter for letter in words[: 4 * TEXT_CHARS_MAX] if letter.isprintable())[:TEXT_CHARS_MAX]


def system_keys(system: object, host: object) -> tuple[Key, ...]:
    """The keys of `guest-get-osinfo` and `guest-get-host-name`; None for what was not answered."""
    told = _mapping(system)
    pairs = [(f"data/{key}", plain(told.get(name))) for name, key in _SYSTEM.items()]
    if not told.get("pretty-name"):
        pairs.append(("data/os_name", plain(told.get("name"))))
    major, _, minor = plain(told.get("version-id")).partition(".")
    pairs += [("data/os_majorver", major), ("data/os_minorver", minor)]
    pairs.append(("data/host_name_dns", plain(_mapping(host).get("host-name"))))
    return tuple((key, value) for key, value in pairs if value)


def runs_programs(info: object) -> bool:
    """Whether `guest-info` says that the agent would: many systems forbid it that."""
    commands = _sequence(_mapping(info).get("supported_commands"))
    return any(each.get("name") == "guest-exec" and each.get("enabled") is True for each in commands)


def addresses(interfaces: object) -> Mapping[str, tuple[str, ...]]:
    """Addresses by MAC in small letters, of `guest-network-get-interfaces`; several may share a MAC."""
    found: dict[str, tuple[str, ...]] = {}
    for interface in _sequence(interfaces)[:INTERFACES_MAX]:
        mac = interface.get("hardware-address")
        if isinstance(mac, str):
            known = found.get(mac.lower(), ())
            found[mac.lower()] = tuple(dict.fromkeys((*known, *_addresses_of(interface))))
    return found


def memory_kib(stats: object) -> tuple[int, int] | None:
    """All memory and what is free, of the balloon's `guest-stats`; None when the guest does not tell."""
    counts = _mapping(_mapping(stats).get("stats"))
    total = counts.get("stat-total-memory")
    free = counts.get("stat-available-memory", counts.get("stat-free-memory"))
    if not (isinstance(total, int) and isinstance(free, int)):
        return None
    return (total // _KIB, free // _KIB) if 0 <= free <= total < _COUNT_MAX else None


def agent_keys(told: Told | None, vifs: Sequence[Vif]) -> tuple[Key, ...]:
    """All keys of a guest with these interfaces; None: no agent has said anything."""
    if told is None:
        return ()
    keys = [*told.system, *(key for vif in vifs for key in _vif_keys(vif, told.addresses or {}))]
    if told.memory_kib is not None:
        total, free = told.memory_kib
        keys += [("data/meminfo_total", str(total)), ("data/meminfo_free", str(free))]
    if told.runs_programs and told.is_linux:
        keys.append(("control/feature-static-ip-setting", "1"))  # without it xapi configures no address
    for position, words in told.faults:
        path = f"xenserver/device/vif/{position}/static-ip-setting"
        keys += [(f"{path}/error-code", "1"), (f"{path}/error-msg", words)]
    return (*keys, ("data/updated", "1"))


def _vif_keys(vif: Vif, known: Mapping[str, tuple[str, ...]]) -> Iterator[Key]:
    for version in (4, 6):
        of_version = [text for text in known.get(vif.mac.lower(), ()) if (":" in text) == (version == 6)]
        for number, text in enumerate(of_version[:ADDRESSES_MAX]):
            yield f"attr/vif/{vif.position}/ipv{version}/{number}", text


def _addresses_of(interface: Mapping[str, Any]) -> Iterator[str]:
    for entry in _sequence(interface.get("ip-addresses"))[: 4 * ADDRESSES_MAX]:
        try:
            yield str(ipaddress.ip_address(str(entry.get("ip-address")).partition("%")[0]))
        except ValueError:
            continue


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _total(told: Told) -> tuple[int, int] | None:
    return None if told.memory_kib is None else (told.memory_kib[0], 0)
