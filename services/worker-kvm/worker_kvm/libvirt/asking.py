"""Asking: has a guest's agent, through libvirt, do what is pending, and tell what it knows."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from virt.connection import Connection
from virt.values import NoDomainError, VirtError, VirtGoneError

from worker_kvm.addresses import Order, obeyed, obstacle
from worker_kvm.addressing import Orders
from worker_kvm.libvirt.guest_agent import told_of
from worker_kvm.qemu.guest_agent import AgentRefusedError, Told, answer, plain, runs_programs

_COUNTED_S = 30
"""How often libvirt has the balloon's driver count."""

_AGENT_TIMEOUT_S = 5
"""How long an agent may take to answer: as long as libvirt gives it for what it asks by itself."""


@dataclass(frozen=True, slots=True)
class Asking:
    """The agents behind one libvirtd; its calls wait for the guest. Errors: `VirtError`."""

    virt: Connection
    orders: Orders[str]

    def __call__(self, uuid: str) -> Told:
        """What a guest tells, and what it could not be made to do."""
        told, pending = self._heard(uuid), self.orders.pending(uuid)
        faults = []
        for order in pending:
            fault = obstacle(told) or self._have_obeyed(uuid, order)
            if fault:
                faults.append((order.position, fault))
            else:
                self.orders.done(uuid, order)
        if len(faults) < len(pending):
            told = self._heard(uuid)
        return replace(told, faults=tuple(faults))

    def _heard(self, uuid: str) -> Told:
        told = told_of(self.virt.guest_info(uuid), self.virt.memory_stats(uuid, _COUNTED_S))
        with suppress(AgentRefusedError):
            return replace(told, runs_programs=runs_programs(self._obey(uuid, "guest-info", {})))
        return told

    def _have_obeyed(self, uuid: str, order: Order) -> str:
        steps = obeyed(order)
        try:
            step = next(steps)
            while True:
                if isinstance(step, float):
                    time.sleep(step)
                    step = next(steps)
                    continue
                try:
                    reply = self._obey(uuid, *step)
                except AgentRefusedError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(reply)
        except StopIteration as end:
            return str(end.value)

    def _obey(self, uuid: str, command: str, arguments: Mapping[str, object]) -> object:
        """Errors: `AgentRefusedError` in libvirt's words, where libvirt is there and the domain too."""
        words = json.dumps({"execute": command, "arguments": dict(arguments)})
        try:
            return answer(self.virt.ask_agent(uuid, words, _AGENT_TIMEOUT_S).encode())
        except (NoDomainError, VirtGoneError):
            raise
        except VirtError as error:
            raise AgentRefusedError(plain(str(error))) from error
        except ValueError as error:
            raise AgentRefusedError("its agent does not answer as one does") from error
