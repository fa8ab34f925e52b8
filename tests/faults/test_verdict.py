"""What is judged of a sweep, and what is kept of it until the whole is made."""

from pathlib import Path

import pytest
from history import Tale, judge
from page import Sheet, keep, kept, page_of
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
    keep(tmp_path, "load/worker", sheet.done("1a2b3c4 2026-11-30"))
    found = kept(tmp_path, ("load/worker", "load/broker"), "1a2b3c4 2026-11-30")
    page = "\n".join(page_of(found))
    assert "of the code of 1a2b3c4 2026-11-30, in 1 slices" in page
    assert "| kill -9 worker | 5 |" in page
    assert "## Not run\n\n`load/broker`." in page
    assert [one.found for one in kept(tmp_path, ("load/worker",), "5d6e7f8 2026-11-30")] == [None]
