"""Arrivals: what becomes of the connections that a migration's source opens: a task, an offer, a refusal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schema.ids import InstanceName, VmId, is_safe_name
from schema.migration import (
    COMPRESSION,
    COMPRESSION_COOKIE,
    HANDSHAKE_COOKIE,
    VGPU_COOKIE,
    Channel,
    ChannelOpening,
    decode_cookies,
    read_path,
)
from schema.numbers import decimal
from schema.operations import VmReceiveMemory
from schema.records import ChannelOffered, Submitted
from schema.wire import json
from schema.wire.errors import JsonError
from schema.wire.value import Dict

from frontend.core import ACCEPT_TIMEOUT_S

SERVICE = "/services/xenops"
"""Under which xapi serves its host's xenopsd: here, the first instance."""

_BYTES_MAX = (1 << 63) - 1
"""As much memory as the interface has numbers for."""

_SHOWN_CHARACTERS = 40
"""How much of what makes no sense is said again."""


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """Where a source's connection waits: an address of this frontend, and what must be shown there."""

    socket: str
    ticket: str


@dataclass(frozen=True, slots=True)
class Opening:
    """A connection opened for an instance, with the facts that came along."""

    instance: InstanceName
    channel: ChannelOpening
    cookies: Mapping[str, str]
    traceparent: str | None = None


def read_opening(
    target: str, headers: tuple[tuple[str, str], ...], instances: tuple[InstanceName, ...]
) -> Opening | None:
    """Which channel a PUT opens; None when it opens none, or of an instance that is not served here."""
    found = read_path(target.partition("?")[0])
    if found is None or not instances:
        return None
    service, channel = found
    instance = instances[0] if service == SERVICE else InstanceName(service.removeprefix("/"))
    if instance not in instances:
        return None
    cookies = decode_cookies(value for name, value in headers if name == "cookie")
    traceparent = next((value for name, value in headers if name == "traceparent"), None)
    return Opening(instance, channel, cookies, traceparent)


def read_handover(message: bytes, instance: InstanceName) -> Opening | str:
    """Which channel a connection opens that xapi has taken: from its request as JSON; or why it opens none.

    Its lists of pairs come as objects, as rpclib writes them, or as lists.
    """
    try:
        request = json.loads(message.decode("utf-8", "surrogateescape"))
    except JsonError as error:
        return f"the message is no JSON: {error}"
    path = request.get("path") if isinstance(request, Dict) else None
    if not isinstance(path, str):
        return "the message is no request with a path"
    found = read_path(path.partition("?")[0])
    if found is None or found[0] != SERVICE:
        return f"{path!r} is no channel of a migration: those are below {SERVICE}/migrate/"
    headers, cookies = _pairs(request.get("additional_headers")), _pairs(request.get("cookie"))
    return Opening(instance, found[1], cookies, headers.get("traceparent"))


def record_of(opening: Opening, rendezvous: Rendezvous, now: float) -> Submitted | ChannelOffered | str:
    """What is to be appended; or, as a sentence, why the connection is refused."""
    channel, cookies = opening.channel, opening.cookies
    final = VmId(cookies.get("final_id", channel.vm))
    for vm in (channel.vm, final):
        if not is_safe_name(vm):
            return f"{vm!r} cannot name a VM: use up to 64 letters, digits, '.', '_' and '-'"
    match channel.channel:
        case Channel.CONTROL:
            return _submitted(opening, final, rendezvous, now)
        case Channel.VGPU if VGPU_COOKIE not in cookies:
            return (
                "VM.migrate: version of sending host incompatible with receiving host: "
                f"no cookie {VGPU_COOKIE}"
            )
        case Channel.DISK if not is_safe_name(channel.device):
            return f"{channel.device!r} cannot name a disk: use up to 64 letters, digits, '.', '_' and '-'"
        case _:
            device = channel.device if channel.channel is Channel.DISK else ""
            return ChannelOffered(
                vm=channel.vm,
                channel=channel.channel,
                device=device,
                socket=rendezvous.socket,
                ticket=rendezvous.ticket,
            )


def _submitted(opening: Opening, final: VmId, rendezvous: Rendezvous, now: float) -> Submitted | str:
    cookies, vm = opening.cookies, opening.channel.vm
    limit = decimal(cookies.get("memory_limit", ""), _BYTES_MAX)
    if limit is None:
        said = cookies.get("memory_limit", "")[:_SHOWN_CHARACTERS]
        return f"VM {vm} cannot be taken in: {said!r} as memory_limit is no number of bytes"
    return Submitted(
        vm=vm,
        operation=VmReceiveMemory(
            vm=vm,
            final=final,
            memory_limit_bytes=limit,
            socket=rendezvous.socket,
            ticket=rendezvous.ticket,
            compressed=cookies.get(COMPRESSION_COOKIE) == COMPRESSION,
            separate_memory=HANDSHAKE_COOKIE in cookies and not opening.channel.old,
        ),
        request_id=rendezvous.ticket,
        dbg=cookies.get("dbg", ""),
        accept_by=now + ACCEPT_TIMEOUT_S,
        awaited=True,  # the source has a task of its own, nobody asks for this one
        traceparent=opening.traceparent,
    )


def _pairs(value: Any) -> dict[str, str]:
    """The first of a name counts; what is no pair of strings does not."""
    pairs = value.pairs if isinstance(value, Dict) else value if isinstance(value, list) else []
    found: dict[str, str] = {}
    for pair in pairs:
        match pair:
            case [str(name), str(content)]:
                found.setdefault(name.strip(), content)
            case _:
                pass
    return found
