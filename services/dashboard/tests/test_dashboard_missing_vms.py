"""The page of a VM that a worker does not know: it was removed, or never was."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from page_in_hand import Page
from schema import records
from schema.ids import VmId


@pytest.fixture(name="page")
def open_page(tmp_path: Path) -> Iterator[Page]:
    with Page(tmp_path) as page:
        yield page


def test_of_a_vm_that_nobody_has_the_page_says_so_and_offers_nothing(page: Page) -> None:
    cookie = page.enter()
    assert "Hold this lane" in page.screen(cookie, "vms/vm7").text  # nobody can say that it is not there
    page.has_vms("vm7")
    assert "Hold this lane" in page.screen(cookie, "vms/vm7").text
    reply = page.screen(cookie, "vms/vm8")
    assert reply.status == HTTPStatus.NOT_FOUND
    assert "there is no VM &#39;vm8&#39;" in reply.text


def test_of_a_vm_that_was_removed_the_page_shows_its_tasks_and_that_it_is_gone(page: Page) -> None:
    cookie = page.enter()
    page.submit("vm8")
    page.has_vms()
    text = page.screen(cookie, "vms/vm8").text
    assert "There is no such VM" in text
    assert "VM_start" in text
    assert "Hold this lane" not in text
    page.append(records.LaneHeld(vm=VmId("vm9")))
    text = page.screen(cookie, "vms/vm9").text
    assert "There is no such VM" in text
    assert "Release this lane" in text
