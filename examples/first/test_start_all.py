"""Tests of the first program, against a whole instance in memory."""

import pytest
from schema.objects.vm import PowerState
from start_all import start_all
from xenops import Client
from xenops_testing.instance import Fail, Fault, a_vm


def test_all_that_is_halted_is_started(xenops_client: Client) -> None:
    for name in ("web-1", "web-2"):
        xenops_client.vm.add(a_vm(name))
    assert set(start_all(xenops_client)) == {"web-1", "web-2"}
    assert {state.power_state for _, state in xenops_client.vm.list()} == {PowerState.PAUSED}
    assert start_all(xenops_client) == {}


@pytest.mark.xenops(faults=[Fault(verb="VM.build", vm="web-1", call=1, effect=Fail())])
def test_one_that_fails_keeps_no_other_from_it(xenops_client: Client) -> None:
    for name in ("web-1", "web-2"):
        xenops_client.vm.add(a_vm(name))
    ended = start_all(xenops_client)
    assert ended["web-1"].startswith("not started: ")
    assert ended["web-2"].startswith("started in ")
