"""Tests of the nightly reboot, against a whole instance in memory."""

import asyncio

import pytest
from nightly import AT_ONCE, reboot_all
from schema.operations import VmReboot
from schema.records import Submitted
from xenops import Client, wait_for_task
from xenops.aio import AsyncClient
from xenops_testing.instance import Fail, Fault, Instance, Part, a_vm


@pytest.fixture
def fleet(xenops_client: Client) -> list[str]:
    """A few more VMs that run than are rebooted at a time, and one that does not."""
    xenops_client.vm.add(a_vm("halted"))
    names = [xenops_client.vm.add(a_vm(f"web-{number}")) for number in range(AT_ONCE + 2)]
    for operate in (xenops_client.vm.start, xenops_client.vm.unpause):
        for task in [operate(name) for name in names]:
            wait_for_task(xenops_client, task)
    return names


def test_all_that_runs_is_rebooted(fleet: list[str], xenops_async_client: AsyncClient) -> None:
    assert asyncio.run(reboot_all(xenops_async_client)) == dict.fromkeys(fleet, "rebooted")


@pytest.mark.xenops(faults=[Fault(verb="VM.build", vm="web-1", call=2, effect=Fail())])
def test_one_that_fails_keeps_no_other_from_it(fleet: list[str], xenops_async_client: AsyncClient) -> None:
    ended = asyncio.run(reboot_all(xenops_async_client))
    assert "told to fail" in ended.pop("web-1")
    assert ended == dict.fromkeys([name for name in fleet if name != "web-1"], "rebooted")


def test_every_vm_is_rebooted_once(
    fleet: list[str], xenops_async_client: AsyncClient, xenops_instance: Instance
) -> None:
    before = len(xenops_instance.records)
    asyncio.run(reboot_all(xenops_async_client))
    written = xenops_instance.records[before:]
    asked = [each.operation for each in written if isinstance(each, Submitted)]
    assert sorted(each.vm for each in asked if isinstance(each, VmReboot)) == sorted(fleet)


def test_what_is_asked_for_while_no_worker_runs_is_done_by_the_next(
    fleet: list[str], xenops_client: Client, xenops_instance: Instance
) -> None:
    xenops_instance.stop(Part.WORKER)
    task = xenops_client.vm.reboot(fleet[0])
    xenops_instance.start(Part.WORKER)
    wait_for_task(xenops_client, task)
