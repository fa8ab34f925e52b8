"""Errors as the command tells them: in everybody's words, and by which command one sees more."""

import pytest
from schema.objects.errors import BadPowerState, Cancelled, DoesNotExist
from schema.objects.vm import PowerState
from schema.sentences import sentence as plain
from xenops.sentences import sentence


@pytest.mark.parametrize(
    ("klass", "words"),
    [
        ("VM", "there is no VM x: `xenops list` shows the VMs"),
        ("worker", "there is no worker x: `xenops workers` shows the workers"),
        ("domain", "there is no domain x"),
    ],
)
def test_what_is_not_there_is_said_with_where_one_sees_what_is(klass: str, words: str) -> None:
    assert sentence(DoesNotExist(klass=klass, id="x")) == words


@pytest.mark.parametrize(
    "error", [Cancelled(task="7"), BadPowerState(found=PowerState.RUNNING, expected=PowerState.HALTED)]
)
def test_all_else_is_said_as_everybody_says_it(error: Cancelled | BadPowerState) -> None:
    assert sentence(error) == plain(error)
