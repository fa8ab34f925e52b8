"""Requests about the host, the service itself, and faults to be provoked."""

import uuid
from collections.abc import Mapping
from typing import Any

from schema.debug_info import read_debug_info
from schema.fault import internal_error
from schema.numbers import decimal
from schema.objects.host import Host, Query
from schema.wire import json
from schema.wire.value import Dict

from engine.control.request import RequestContext

Params = Mapping[str, Any]

POOL_SIZE_MAX = 1_000
"""How many VMs at a time an operator may ask for."""

_POINT_MAX = (1 << 62) - 1
"""A cancel point's number; OCaml's greatest integer."""


def query(request: RequestContext, _params: Params) -> Query:
    """Who answers; the words are the original's, for clients compare them.

    The original's `instance_id` was new for each life of its process, with which tasks and tokens went; ours
    outlive every process, so it is the instance's own.
    """
    instance_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, request.instance))
    return Query(name="xenops", vendor="XCP", version="0.1", features=(), instance_id=instance_id)


def diagnostics(request: RequestContext, _params: Params) -> str:
    """A worker's part of get_diagnostics, for the event hub: what each VM's domain asks for."""
    context = request.context
    asked = ((vm.id, context.backend.vm.get_domain_action_request(vm)) for vm in context.store.list())
    actions = Dict((vm, [] if action is None else [action.value]) for vm, action in asked)
    return json.dumps(Dict([("vm_actions", actions)]))


def stat(request: RequestContext, _params: Params) -> Host:
    """HOST.stat."""
    return request.context.backend.host.stat()


def get_console_data(request: RequestContext, _params: Params) -> str:
    """HOST.get_console_data."""
    return request.context.backend.host.console_data()


def get_total_memory_mib(request: RequestContext, _params: Params) -> int:
    """HOST.get_total_memory_mib."""
    return request.context.backend.host.total_memory_mib()


def send_debug_keys(request: RequestContext, params: Params) -> None:
    """HOST.send_debug_keys."""
    request.context.backend.host.send_debug_keys(params["debug_keys"])


def set_worker_pool_size(request: RequestContext, params: Params) -> None:
    """HOST.set_worker_pool_size. Errors: `Internal_error` outside 1..`POOL_SIZE_MAX`."""
    size = params["pool_size"]
    if not 1 <= size <= POOL_SIZE_MAX:
        raise internal_error(
            f"a worker pool of {size} is not possible: give a number from 1 to {POOL_SIZE_MAX}"
        )
    request.worker.set_capacity(size)


def update_guest_agent_features(request: RequestContext, params: Params) -> None:
    """HOST.update_guest_agent_features."""
    request.context.backend.host.update_guest_agent_features(params["features"])


def combine_cpu_policies(request: RequestContext, params: Params) -> str:
    """HOST.combine_cpu_policies."""
    return request.context.backend.host.combine_cpu_policies(params["policy1"], params["policy2"])


def is_compatible(request: RequestContext, params: Params) -> bool:
    """HOST.is_compatible."""
    return request.context.backend.host.is_compatible(params["vm_policy"], params["host_policy"])


def set_numa_affinity_policy(request: RequestContext, params: Params) -> None:
    """HOST.set_numa_affinity_policy."""
    request.context.backend.host.set_numa_affinity_policy(params["numa_affinity_policy"])


def trigger(request: RequestContext, params: Params) -> None:
    """DEBUG.trigger: the worker's own, else the backend's. Errors: `Unimplemented <cmd>`."""
    command, arguments = params["cmd"], params["args"]
    if command == "set-cancel-trigger" and len(arguments) == 2:
        point = decimal(arguments[1], _POINT_MAX)
        if point is not None:
            request.worker.cancel_next(read_debug_info(arguments[0]).log, point)  # tasks are called by that
            return
    request.context.backend.trigger(command, arguments)


def shutdown(_request: RequestContext, _params: Params) -> None:
    """DEBUG.shutdown ended the original's process; ours is ended by whoever runs it, not by a client."""
    raise internal_error("DEBUG.shutdown is not obeyed: end the worker as a service")


def dequarantine(request: RequestContext, params: Params) -> None:
    """PCI.dequarantine."""
    request.context.backend.pci.dequarantine(params["pci_addr"])
