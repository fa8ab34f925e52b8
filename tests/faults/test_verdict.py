"""What is judged of a sweep, and what is kept of it until the whole is made."""

from pathlib import Path

import pytest
from faults_table import DOCUMENT
from history import Tale, judge
from page import BEGIN, END, Sheet, keep, kept, not_done, page_of, put_in
from schema.ids import TaskId, VmId
from schema.objects.errors import InternalError
from schema.operations import VmReboot
from schema.records import Failed, Finished, Submitted

VM, TASK = VmId("v1"), TaskId(1)
LOST = "worker w was lost: silent for 20 s; look at the VM's state"
RIGHT = "worker w was restarted while it executed this; the VM was put right: look at it"


@pytest.mark.parametrize(("words", "again"), [(LOST, 0), (RIGHT, 0), ("the guest did not shut down", 1)])
def test_a_hook_may_run_again_where_a_worker_died_that_was_given_up_or_not(words: str, again: int) -> None:
    reboot = VmReboot(vm=VM, timeout_s=None)
    tale = Tale(
        submitted={TASK: Submitted(vm=VM, operation=reboot, request_id="r", dbg="d", accept_by=1.0)},
        leased={TASK: 2},
        ended={TASK: Finished(vm=VM, task=TASK, outcome=Failed(error=InternalError(message=words)))},
    )
    counts, complaints = judge(tale, (), [("vm-pre-reboot", VM)] * 2)
    assert counts.duplicated == len(complaints) == again


def test_what_was_found_of_other_code_is_to_be_found_again(tmp_path: Path) -> None:
    sheet = Sheet("Under load", "fault | times")
    sheet.row("kill -9 worker", 5)
    keep(tmp_path, "load/worker", sheet.done("1a2b3c4 2026-11-30", 1))
    found = kept(tmp_path, ("load/worker", "load/broker"), "1a2b3c4 2026-11-30")
    page = "\n".join(page_of(found))
    assert "of the code of 1a2b3c4 2026-11-30, in 1 slices" in page
    assert "| kill -9 worker | 5 |" in page
    assert "## Not run\n\n`load/broker`." in page
    assert [one.found for one in kept(tmp_path, ("load/worker",), "5d6e7f8 2026-11-30")] == [None]


def test_a_sweep_writes_between_its_marks_and_leaves_what_people_have_written() -> None:
    document = f"# Faults\n\nBy hand.\n\n{BEGIN}\n\nOld.\n\n{END}\n\n## By hand, too\n"
    written = put_in(document, ["### Under load", "", "| fault |"])
    assert written == document.replace("Old.", "### Under load\n\n| fault |")
    assert put_in(written, ["Old."]) == document


@pytest.mark.parametrize("document", ["", BEGIN, END + BEGIN, BEGIN + END + END, BEGIN + BEGIN + END])
def test_a_document_without_its_two_marks_is_not_written_to(document: str) -> None:
    with pytest.raises(ValueError, match="each once"):
        put_in(document, ["..."])


def test_the_document_has_a_place_for_a_sweep() -> None:
    assert put_in(DOCUMENT.read_text(), [])


def test_a_slice_of_some_points_is_run_again_where_more_are_asked_for(tmp_path: Path) -> None:
    keep(tmp_path, "start/x", Sheet("Crash points", "operation").done("1a2b3c4 2026-11-30", 3))
    found = kept(tmp_path, ("start/x", "start/y"), "1a2b3c4 2026-11-30")
    assert not_done(found, 1) == not_done(found, 2) == ["start/x", "start/y"]
    assert not_done(found, 3) == not_done(found, 4) == ["start/y"]
