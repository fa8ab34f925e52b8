"""Guest metrics: what an agent in a guest wrote, as XenAPI shows it. Facts from xapi, xapi_guest_agent.ml."""

import re
from collections.abc import Iterable, Iterator, Mapping

Agent = Mapping[str, str]
"""The guest agent's keys below its domain, as `data/os_name`."""

IGNORED = frozenset({"data/meminfo_free", "data/updated", "data/update_cnt"})
"""What changes all the time and matters to nobody."""

_DRIVERS = {
    "attr/PVAddons/MajorVersion": "major",
    "attr/PVAddons/MinorVersion": "minor",
    "attr/PVAddons/MicroVersion": "micro",
    "attr/PVAddons/BuildVersion": "build",
    "attr/PVAddons/Application": "application",
}
_SYSTEM = {
    "data/os_name": "name",
    "data/os_uname": "uname",
    "data/os_distro": "distro",
    "data/os_majorver": "major",
    "data/os_minorver": "minor",
    "attr/os/spmajor": "spmajor",
    "attr/os/spminor": "spminor",
}
_SERVICES = ("pvs_target/target_software_version",)
_INTERFACE = re.compile(r"(?:eth|xenbr|eno|ens|emp|enx)(.*)")
_TRISTATE = {"0": "no", "1": "yes"}


def guest_metrics(agent: Agent) -> Mapping[str, object]:
    """The fields of `VM_guest_metrics` that the agent says."""
    return {
        "PV_drivers_version": _drivers(agent),
        "os_version": _named(agent, _SYSTEM),
        "netbios_name": _netbios(agent),
        "networks": {
            **dict(_networks(agent, "attr", "vif")),
            **dict(_networks(agent, "xenserver/attr", "net-sriov-vf")),
        },
        "other": _other(agent),
        "services": dict(_services(agent)),
        "can_use_hotplug_vbd": _TRISTATE.get(agent.get("feature/hotplug/vbd", ""), "unspecified"),
        "can_use_hotplug_vif": _TRISTATE.get(agent.get("feature/hotplug/vif", ""), "unspecified"),
        "live": True,
    }


def _named(agent: Agent, names: Mapping[str, str]) -> dict[str, str]:
    return {name: agent[key] for key, name in names.items() if key in agent}


def _below(agent: Agent, directory: str) -> list[str]:
    """What is in a directory, each name once."""
    prefix = f"{directory}/"
    names = (key.removeprefix(prefix).split("/")[0] for key in agent if key.startswith(prefix))
    return list(dict.fromkeys(name for name in names if name))


def _drivers(agent: Agent) -> dict[str, str]:
    """Versions of drivers: of the whole, and, on Windows, of each as `XenServer XENVIF 9.1.12.101`."""
    versions = _named(agent, _DRIVERS)
    for index in _below(agent, "drivers"):
        parts = agent.get(f"drivers/{index}", "").split(" ", 3)
        if index.isdecimal() and len(parts) >= 3:
            vendor, name, *rest = parts
            versions[name.lower()] = " ".join([vendor, *rest, *([""] if len(rest) < 2 else [])])
    return {"micro": "-1", **versions} if versions else {}


def _netbios(agent: Agent) -> dict[str, str]:
    name, domain = agent.get("data/host_name_dns"), agent.get("data/domain")
    if name is None:
        return {}
    return {"host_name": name if domain is None else f"{name}.{domain}"}


def _other(agent: Agent) -> dict[str, str]:
    """What the guest can be asked for, `feature-shutdown` and so on, and why it cannot be suspended."""
    found = {name: agent.get(f"control/{name}", "") for name in _below(agent, "control")}
    reason = agent.get("data/cant_suspend_reason")
    if reason is not None and found.pop("feature-suspend", None) is not None:
        found["data-cant-suspend-reason"] = reason
    return found | _named(agent, {"data/ts": "data-ts"})


def _services(agent: Agent) -> Iterator[tuple[str, str]]:
    for service in _below(agent, "data/service"):
        for key in _below(agent, f"data/service/{service}"):
            yield f"{service}/{key}", agent.get(f"data/service/{service}/{key}", "")
    for key in _SERVICES:
        if f"data/{key}" in agent:
            yield key, agent[f"data/{key}"]


def _networks(agent: Agent, path: str, kind: str) -> Iterable[tuple[str, str]]:
    """Addresses by interface, as `0/ip`, `0/ipv4/0`, `0/ipv6/1`, by the newer protocol or the older one."""
    vifs = _below(agent, f"{path}/{kind}")
    if vifs:
        return [pair for vif in vifs for pair in _addresses(agent, f"{path}/{kind}/{vif}", vif)]
    found: list[tuple[str, str]] = []
    for interface in _below(agent, path):
        match = _INTERFACE.fullmatch(interface)
        if match:
            found += _older_addresses(agent, f"{path}/{interface}", match[1])
    return found


def _addresses(agent: Agent, path: str, vif: str) -> Iterator[tuple[str, str]]:
    for version in ("ipv4", "ipv6"):
        numbers = [number for number in _below(agent, f"{path}/{version}") if number.isdecimal()]
        for position, number in enumerate(sorted(numbers, key=int)):
            address = agent.get(f"{path}/{version}/{number}", "")
            if version == "ipv4" and position == 0:
                yield f"{vif}/ip", address
            yield f"{vif}/{version}/{number}", address


def _older_addresses(agent: Agent, path: str, number: str) -> Iterator[tuple[str, str]]:
    if f"{path}/ip" in agent:
        yield f"{number}/ip", agent[f"{path}/ip"]
        yield f"{number}/ipv4/0", agent[f"{path}/ip"]
    for index in _below(agent, f"{path}/ipv6"):
        if f"{path}/ipv6/{index}/addr" in agent:
            yield f"{number}/ipv6/{index}", agent[f"{path}/ipv6/{index}/addr"]
