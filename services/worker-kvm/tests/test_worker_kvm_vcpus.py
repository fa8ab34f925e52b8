"""Which vCPU is plugged next, by what QEMU tells of their places."""

from typing import Any

from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from schema.objects.errors import InternalError, InvalidVcpus
from worker_kvm.qemu.vcpus import places, refuse_to_take, refuse_vcpus


def place(socket: int, path: str | None = None) -> dict[str, Any]:
    found = {
        "type": "max-x86_64-cpu",
        "vcpus-count": 1,
        "props": {"socket-id": socket, "core-id": 0, "thread-id": 0},
    }
    return found if path is None else found | {"qom-path": path}


def test_places_are_in_the_guests_order_and_say_what_can_be_taken_away() -> None:
    first, second, third = places(
        [place(2), place(1, "/machine/peripheral/vcpu-1-0-0-0"), place(0, "/machine/unattached/device[0]")]
    )
    assert (first.is_filled, first.device) == (True, None)
    assert (second.is_filled, second.device) == (True, "vcpu-1-0-0-0")
    assert (third.is_filled, third.device) == (False, None)
    assert third.words == {
        "driver": "max-x86_64-cpu",
        "id": "vcpu-2-0-0-0",
        "socket-id": 2,
        "core-id": 0,
        "thread-id": 0,
    }


def test_the_most_that_a_vm_may_have_is_told() -> None:
    vm = sample_vm(vcpus=2, vcpu_max=1)
    refuse_vcpus(vm, 2)
    assert refusal(lambda: refuse_vcpus(vm, 3)) == InvalidVcpus(count=2)
    assert refusal(lambda: refuse_vcpus(vm, 0)) == InvalidVcpus(count=2)


def test_no_vcpu_is_taken_from_a_guest_that_qemu_emulates() -> None:
    refuse_to_take("kvm")
    error = refusal(lambda: refuse_to_take("tcg"))
    assert isinstance(error, InternalError)
    assert "keeps a vCPU until it is started anew" in error.message
