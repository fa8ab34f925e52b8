"""What agents are to do is what is noted of their domains, and what they have done is noted."""

import logging
from collections.abc import Callable

import pytest
from engine.conformance.samples import sample_vm
from schema.ids import DeviceId
from schema.objects.vif import Static4, Vif
from typing_extensions import override
from worker_kvm.addresses import Order
from worker_kvm.addressing import NotedOrders, log_faults
from worker_kvm.qemu.guest_agent import Told
from worker_kvm.qemu.machine import Machine, created, plugged


class Host:
    """Two VMs, of which one has a domain with an interface that is to have an address."""

    def __init__(self) -> None:
        vm = sample_vm("v1")
        fixed = Static4(addresses=("192.0.2.7/24",), gateway=None)
        vif = Vif(id=DeviceId("v1", "0"), mac="52:54:00:00:00:01", ipv4_configuration=fixed)
        machine = plugged(created(Machine(id="v1"), vm, 7, 0.0), vif, bridged=False)
        self.known = {"v1": machine, "v2": Machine(id="v2")}
        self.orders: NotedOrders[int] = NotedOrders(self, lambda domain: domain.domid)

    def machines(self) -> list[Machine]:
        return list(self.known.values())

    def change(self, vm: str, change: Callable[[Machine], Machine]) -> Machine:
        self.known[vm] = change(self.known[vm])
        return self.known[vm]


def pending(host: Host) -> Order:
    [order] = host.orders.pending(7)
    return order


def test_what_was_done_is_noted_and_not_pending_any_more() -> None:
    host = Host()
    assert host.orders.pending(8) == []
    host.orders.done(7, pending(host))
    assert host.orders.pending(7) == []
    assert host.known["v1"].living().addressed[0].has.addresses == ("192.0.2.7/24",)


def test_what_was_done_for_a_domain_that_has_gone_is_of_no_interest() -> None:
    host = Host()
    order = pending(host)
    later = created(host.known["v1"].but(domain=None), sample_vm("v1"), 8, 0.0)
    host.known["v1"] = later
    host.orders.done(7, order)
    assert host.known["v1"] == later


class Losing(Host):
    """One whose VM loses its domain just when something is to be noted of it."""

    @override
    def change(self, vm: str, change: Callable[[Machine], Machine]) -> Machine:
        self.known[vm] = self.known[vm].but(domain=None)
        return super().change(vm, change)


def test_one_that_goes_while_that_is_noted_is_of_no_interest_either() -> None:
    host = Losing()
    host.orders.done(7, pending(host))
    assert host.known["v1"].domain is None


def test_a_fault_is_said_once_until_it_is_another(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    first, second = Told(faults=((0, "no"),)), Told(faults=((0, "no"), (1, "no")))
    log_faults(7, first, None)
    log_faults(7, first, first)
    log_faults(7, second, first)
    log_faults(7, Told(), second)
    assert [record.getMessage() for record in caplog.records] == [
        "domain 7: VIF 0 has not got its addresses: no",
        "domain 7: VIF 1 has not got its addresses: no",
    ]
