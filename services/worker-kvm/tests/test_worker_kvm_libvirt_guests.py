"""What guests on libvirt have made of themselves, by their clocks and their agents, and where it is kept."""

from pathlib import Path
from typing import Any

from engine.conformance.samples import sample_vm
from worker_kvm.addresses import Addressed, Addresses
from worker_kvm.libvirt.document import Surroundings, domain_document
from worker_kvm.libvirt.machine import Domain, Machine, Stage, saved
from worker_kvm.libvirt.saved import clock_in, vcpus_in

AROUND = Surroundings("i", "v1", "tcg", bridged=False, console=Path("/run/1/console"))


def domain(**fields: Any) -> Domain:
    usual = {"domid": 1, "uuid": "u", "life": "l", "vm": sample_vm("v1"), "created_at": 5.0}
    return Domain.model_validate(usual | {"memory_target_bytes": 1 << 28, "vcpus": 2} | fields)


def test_a_document_says_how_far_from_utc_the_guests_clock_begins() -> None:
    assert clock_in(domain_document(domain(clock_base_s=-3600), AROUND)) == -3600
    assert clock_in(domain_document(domain(), AROUND)) == 0


def test_a_document_says_how_many_vcpus_the_guest_has_by_now() -> None:
    described = domain_document(domain(), AROUND)
    assert vcpus_in(described) == domain().vcpus
    (vcpu,) = described.findall("vcpu")
    vcpu.attrib.pop("current")  # libvirt leaves out what is all of them
    vcpu.text = "4"
    assert vcpus_in(described) == 4
    vcpu.text = "many"
    assert vcpus_in(described) is None


def test_what_an_agent_has_done_outlives_the_domain_of_a_guest_that_is_suspended() -> None:
    given = Addressed(device="0", plugs=0, has=Addresses(addresses=("192.0.2.7/24",)))
    machine = Machine(id="v1", domain=domain(stage=Stage.LAUNCHED, addressed=(given,)))
    found = saved(machine, "/i")
    assert (found.suspended, found.addressed) == (True, (given,))
    assert (found.living().stage, found.living().saved) == (Stage.NOTED, "/i")
