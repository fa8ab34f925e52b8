"""Errors of the interface as sentences that name the thing and the remedy."""

from typing import Any, get_args

import pytest
from schema.objects.errors import Cancelled, DoesNotExist, Error, InternalError
from schema.objects.vm import PowerState
from xenops.sentences import sentence


def arms() -> list[type[Any]]:
    return list(get_args(get_args(Error)[0]))


@pytest.mark.parametrize("arm", arms())
def test_every_error_has_a_sentence(arm: type[Any]) -> None:
    samples: dict[Any, Any] = {
        str: "x/config",
        int: 5,
        float: 1.5,
        tuple[str, ...]: ("a", "b"),
        PowerState: "Halted",
    }
    fields = {name: samples[field.annotation] for name, field in arm.model_fields.items() if name != "kind"}
    words = sentence(arm(**fields))
    assert words
    assert "{" not in words
    assert arm is InternalError or "/config" not in words


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


def test_a_sentence_names_the_thing() -> None:
    assert sentence(Cancelled(task="7")) == "the task 7 was cancelled"
