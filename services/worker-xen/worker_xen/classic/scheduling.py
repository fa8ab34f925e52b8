"""Scheduling: a domain's weight, cap and CPUs, and with them the NUMA nodes that its memory comes from."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from schema.objects.host import NumaAffinityPolicy
from schema.objects.vm import Vm

from worker_xen.classic.placement import (
    Group,
    Promise,
    chosen,
    groups_of,
    is_placed,
    wanted,
    without_promised,
)
from worker_xen.libxc.port import Xen
from worker_xen.libxc.values import Topology
from worker_xen.policy import PolicyFile
from worker_xen.scheduler_params import bound_to, share_of

_LOG = logging.getLogger(__name__)


class Scheduling:
    """Of all domains of this host; safe for any thread."""

    def __init__(self, xen: Xen, policy: PolicyFile) -> None:
        self._xen = xen
        self._policy = policy
        self._lock = threading.Lock()
        self._promises: dict[int, Promise] = {}

    @contextmanager
    def placed(self, domid: int, vm: Vm, memory_bytes: int) -> Iterator[None]:
        """While inside, an empty domain gets its memory, of the nodes that its vCPUs are bound to by then.

        So no other domain that is filled meanwhile is promised the same memory. Errors: `XenError`.
        """
        self._weigh(domid, vm)
        for vcpu, cpus in enumerate(bound_to(vm, len(self._topology.cpus))):
            self._xen.set_affinity(domid, vcpu, cpus)
        policy = self._policy.read()
        try:
            if is_placed(vm, policy) and self._groups:
                self._place(domid, vm, policy, memory_bytes)
            yield
        finally:
            with self._lock:
                self._promises.pop(domid, None)

    @cached_property
    def _topology(self) -> Topology:
        return self._xen.topology()

    @cached_property
    def _groups(self) -> list[Group]:
        return groups_of(self._topology)

    def _weigh(self, domid: int, vm: Vm) -> None:
        share = share_of(vm)
        if share is not None:
            self._xen.set_weight(domid, *share)

    def _place(self, domid: int, vm: Vm, policy: NumaAffinityPolicy, memory_bytes: int) -> None:
        with self._lock:
            free = without_promised(self._xen.nodes_free_bytes(), self._outstanding())
            group = chosen(self._groups, free, wanted(vm, policy, memory_bytes))
            if group is None:
                _LOG.info("VM %s fits no group of NUMA nodes: Xen takes its memory from all", vm.id)
                return
            self._promises[domid] = Promise(group.nodes, memory_bytes)
        is_soft = policy is not NumaAffinityPolicy.BEST_EFFORT_HARD
        for vcpu in range(vm.vcpu_max):
            self._xen.set_affinity(domid, vcpu, group.cpus, soft=is_soft)
        _LOG.info("VM %s is placed on the NUMA nodes %s (%s)", vm.id, list(group.nodes), policy)

    def _outstanding(self) -> Iterator[Promise]:
        """What domains that are being filled have not taken yet of what they were promised."""
        for domid, promise in self._promises.items():
            info = self._xen.domain(domid)
            taken_bytes = 0 if info is None else info.memory_bytes
            yield Promise(promise.nodes, max(0, promise.memory_bytes - taken_bytes))
