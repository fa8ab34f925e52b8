"""Answer: from a request's bytes to the answer's, by the table of methods; no request is left without."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from schema import rpc
from schema.fault import XenopsError
from schema.methods import METHODS
from schema.objects.errors import InternalError
from schema.records import Record

from engine.control import devices, host, tracing, vms
from engine.control.request import RequestContext

_LOG = logging.getLogger(__name__)

Answer = Callable[[RequestContext, Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """What the client is told, and what the log is."""

    body: bytes
    records: tuple[Record, ...] = ()


class Control:
    """Answers requests, from any thread."""

    def __init__(self, request: RequestContext) -> None:
        self._request = request

    def answer(self, body: bytes) -> Answered:
        """Perform a request; whatever it is, there is an answer."""
        read = self.read(body)
        return read if isinstance(read, Answered) else self.perform(read)

    def read(self, body: bytes) -> rpc.Call | Answered:
        """What a request asks for, or the answer to one that asks for nothing."""
        try:
            return rpc.decode_request(body)
        except rpc.BadRequestError as error:
            return Answered(error.answer)

    def waits(self, call: rpc.Call) -> bool:
        """Whether it may have to wait: for a hypervisor, a daemon, a lock."""
        context = self._request.context
        return call.method not in _READS or context.backend.reads_wait or context.store.reads_wait

    def perform(self, call: rpc.Call) -> Answered:
        """Do what is asked for."""
        request = replace(self._request, records=[])
        try:
            result = _perform(request, call)
            return Answered(rpc.encode_result(call.method, result), tuple(request.records))
        except XenopsError as error:
            return Answered(rpc.encode_failure(error.error), tuple(request.records))
        except Exception as error:  # noqa: BLE001  a bug: told to the client as the original tells its own
            _LOG.exception("%s: a bug", call.method)
            sentence = f"{type(error).__name__}: {error}"
            return Answered(rpc.encode_failure(InternalError(message=sentence)), tuple(request.records))


def _perform(request: RequestContext, call: rpc.Call) -> Any:
    answer = ANSWERS.get(call.method)
    if answer is None:
        raise XenopsError(
            InternalError(message=f"{call.method} is not a worker's to answer: ask the frontend")
        )
    return answer(request, call.params)


def _device_answers() -> dict[str, Answer]:
    verbs = {"add": devices.add, "remove": devices.remove, "stat": devices.stat, "list": devices.list_all}
    return {
        f"{word}.{verb}": partial(answer, kind)
        for word, kind in devices.KINDS.items()
        for verb, answer in verbs.items()
    }


_OBSERVERS: dict[str, Answer] = {
    "Observer.create": tracing.create,
    "Observer.destroy": tracing.destroy,
    "Observer.set_enabled": tracing.set_enabled,
    "Observer.set_attributes": tracing.set_attributes,
    "Observer.set_endpoints": tracing.set_endpoints,
    "Observer.init": tracing.init,
}

ANSWERS: Mapping[str, Answer] = {
    "query": host.query,
    "get_diagnostics": host.diagnostics,
    "VM.add": vms.add,
    "VM.stat": vms.stat,
    "VM.list": vms.list_all,
    "VM.exists": vms.exists,
    "VM.generate_state_string": vms.generate_state_string,
    "VM.export_metadata": vms.export_metadata,
    "PCI.dequarantine": host.dequarantine,
    "HOST.stat": host.stat,
    "HOST.get_console_data": host.get_console_data,
    "HOST.get_total_memory_mib": host.get_total_memory_mib,
    "HOST.send_debug_keys": host.send_debug_keys,
    "HOST.set_worker_pool_size": host.set_worker_pool_size,
    "HOST.update_guest_agent_features": host.update_guest_agent_features,
    "HOST.combine_cpu_policies": host.combine_cpu_policies,
    "HOST.is_compatible": host.is_compatible,
    "HOST.set_numa_affinity_policy": host.set_numa_affinity_policy,
    "DEBUG.trigger": host.trigger,
    "DEBUG.shutdown": host.shutdown,
    **_device_answers(),
    **{
        name: partial(tracing.set_for_all, name.removeprefix("Observer.set_"))
        for name in METHODS
        if name.startswith("Observer.") and name not in _OBSERVERS
    },
    **_OBSERVERS,
}
"""Every method that a worker answers."""

_READS = frozenset({"query", "VM.exists"} | {name for name in ANSWERS if name.endswith((".stat", ".list"))})
"""Methods that look and touch nothing."""
