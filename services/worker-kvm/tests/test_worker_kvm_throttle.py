"""How much a disk may do, by its keys."""

import pytest
from engine.conformance.subject import refusal
from schema.ids import DeviceId
from schema.objects.errors import Unimplemented
from schema.objects.vbd import IdleQos, Ionice, Vbd
from worker_kvm.throttle import RATE_MAX, Throttle, refuse_scheduling, throttle_of


def vbd(*keys: tuple[str, str]) -> Vbd:
    return Vbd(id=DeviceId("v1", "xvda"), extra_backend_keys=keys)


def test_a_disk_without_limits_is_open() -> None:
    assert throttle_of(vbd(("format", "raw"))).is_open
    assert throttle_of(vbd(("total_bytes_sec", "0"))).is_open


def test_limits_are_named_as_libvirt_names_them() -> None:
    found = throttle_of(
        vbd(("read_bytes_sec", "1048576"), ("write_bytes_sec", "7"), ("total_iops_sec", "50"))
    )
    assert found == Throttle(read_bytes_sec=1048576, write_bytes_sec=7, total_iops_sec=50)
    assert not found.is_open


def test_the_last_of_two_counts() -> None:
    assert throttle_of(vbd(("read_iops_sec", "1"), ("read_iops_sec", "2"))).read_iops_sec == 2


@pytest.mark.parametrize("text", ["", "-1", "1M", "1.0", "٣", str(RATE_MAX + 1), "1" * 5000])
def test_a_limit_that_is_no_number_is_refused_by_name(text: str) -> None:
    said = str(refusal(lambda: throttle_of(vbd(("total_iops_sec", text)))))
    assert "VBD xvda has the total_iops_sec" in said


@pytest.mark.parametrize("unit", ["bytes_sec", "iops_sec"])
def test_a_total_beside_a_part_is_refused(unit: str) -> None:
    said = str(refusal(lambda: throttle_of(vbd((f"total_{unit}", "9"), (f"write_{unit}", "9")))))
    assert "give one or the other" in said


def test_an_ionice_class_is_refused() -> None:
    scheduled = vbd().model_copy(update={"qos": Ionice(scheduler=IdleQos())})
    assert refusal(lambda: refuse_scheduling(scheduled, "VBD.plug")) == Unimplemented(
        what="VBD.plug with an ionice class"
    )
    refuse_scheduling(vbd(), "VBD.plug")
