"""Which disks go along with their VM, and what QEMU is told of them."""

import pytest
from engine.conformance.samples import sample_vbd
from engine.conformance.subject import refusal
from engine.hosted.machine import Source
from schema.objects.errors import InternalError
from schema.objects.vbd import Vbd, VbdMode
from worker_kvm.qemu.machine import Disk, Slot
from worker_kvm.qemu.mirrored import (
    Mirrored,
    export_words,
    goes_along,
    going_along,
    mirror_job,
    refuse_others,
    target_node,
)

SLOT = Slot(bus="scsi", unit=3)


def vbd(word: str | None, mode: VbdMode = VbdMode.READ_WRITE) -> Vbd:
    keys = () if word is None else (("migration", word),)
    return sample_vbd().model_copy(update={"extra_backend_keys": keys, "mode": mode})


def disk(
    word: str | None, mode: VbdMode = VbdMode.READ_WRITE, *, activated: bool = True, has_content: bool = True
) -> Disk:
    source = Source(path="/disk.raw", format="raw") if has_content else None
    return Disk(vbd=vbd(word, mode), slot=SLOT, source=source, activated=activated)


@pytest.mark.parametrize(("word", "goes"), [(None, False), ("shared", False), ("mirror", True)])
def test_a_disk_goes_along_if_its_key_says_so(word: str | None, *, goes: bool) -> None:
    assert goes_along(vbd(word)) is goes


def test_a_word_that_makes_no_sense_is_refused_with_those_that_do() -> None:
    error = refusal(goes_along, vbd("copy"))
    assert isinstance(error, InternalError)
    assert error.message == "VBD xvda has the migration 'copy': give shared, or mirror"


def test_what_a_guest_has_and_writes_goes_along() -> None:
    there = disk("mirror")
    others = [
        disk("shared"),
        disk("mirror", activated=False),
        disk("mirror", has_content=False),
        disk("mirror", VbdMode.READ_ONLY),
    ]
    assert going_along([there, *others]) == [there]


def test_content_comes_for_disks_that_are_written_alone() -> None:
    refuse_others([Mirrored(device="scsi3", size=1)], [disk(None)])
    for taken in ([], [disk(None, VbdMode.READ_ONLY)], [disk(None, activated=False)]):
        with pytest.raises(ValueError, match="'scsi3', which is no disk to be written"):
            refuse_others([Mirrored(device="scsi3", size=1)], taken)


def test_both_qemus_call_a_disk_alike() -> None:
    assert target_node(SLOT)["export"] == export_words(SLOT)["name"] == SLOT.device
    assert mirror_job(SLOT)["target"] == target_node(SLOT)["node-name"]
    assert (mirror_job(SLOT)["speed"], mirror_job(SLOT, 3)["speed"]) == (0, 3 << 20)
    assert mirror_job(SLOT)["device"] == export_words(SLOT)["node-name"] == SLOT.node
