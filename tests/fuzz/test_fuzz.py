"""A bounded part of the fuzz, for every day: see `make fuzz` for the rest."""

import asyncio
import json
from typing import Any

import pytest
from fuzz_core import Subject, answers, post, run
from fuzz_doors import run as run_doors
from hypothesis import given, settings
from hypothesis import strategies as st
from schema.wire import json as wire

INPUTS = 10_000
DOOR_INPUTS = 2_000

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_comes_to_the_cores_is_answered(seed: int) -> None:
    asyncio.run(run(INPUTS, seed))


def test_whatever_comes_to_the_doors_is_answered_and_costs_nobody_else_anything() -> None:
    assert run_doors(DOOR_INPUTS, 0) >= DOOR_INPUTS


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_on_a_connection_are_answered_in_http(data: bytes) -> None:
    async def speak() -> None:
        subject = Subject(0)
        for server in (subject.switch, subject.rpc):
            answers(subject.sent(server, data))

    asyncio.run(speak())


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(["VM.stat", "VM.start", "VBD.add", "UPDATES.get", "x"]), VALUES, VALUES)
def test_any_value_as_parameters_is_answered_once(method: str, params: Any, id_: Any) -> None:
    body = json.dumps({"method": method, "params": [params], "id": id_}).encode()

    async def speak() -> None:
        subject = Subject(0)
        (found,) = answers(subject.sent(subject.rpc, post(body)))
        assert found

    asyncio.run(speak())


@settings(max_examples=500, deadline=None)
@given(st.text())
def test_any_text_is_written_as_the_standard_library_reads_it(text: str) -> None:
    assert json.loads(wire.dumps(text)) == text
