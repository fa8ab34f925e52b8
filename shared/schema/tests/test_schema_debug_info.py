import json

import pytest
from schema.debug_info import DebugInfo, read_debug_info, read_traceparent, trace_of, write_debug_info
from schema.overseen import NAME_MAX, named

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def context(**fields: object) -> str:
    return "name\n" + json.dumps(fields)


@pytest.mark.parametrize(
    ("text", "info"),
    [
        ("name", DebugInfo("name")),
        ("", DebugInfo("")),
        (f"name\n{PARENT}", DebugInfo("name", PARENT)),
        (f"name\n{PARENT.upper()}", DebugInfo("name", PARENT)),
        (f"name\n{PARENT}\n", DebugInfo(f"name\n{PARENT}\n")),
        ("name\n", DebugInfo("name")),
        ("name\n7", DebugInfo("name")),
        (context(traceparent=PARENT, baggage=None), DebugInfo("name", PARENT)),
        (
            context(baggage=[["span.depth", "2"]], traceparent=PARENT),
            DebugInfo("name", PARENT, (("span.depth", "2"),)),
        ),
        (context(traceparent=None, baggage=[["a", "b"]]), DebugInfo("name")),
        (context(traceparent="nonsense", baggage=None), DebugInfo("name")),
        (context(traceparent=PARENT), DebugInfo("name")),
        (context(traceparent=7, baggage=None), DebugInfo("name")),
        (context(traceparent=PARENT, baggage=[["a"]]), DebugInfo("name")),
        (context(traceparent=PARENT, baggage=[["a", 1]]), DebugInfo("name")),
        (context(traceparent=PARENT, baggage="a"), DebugInfo("name")),
        (context(traceparent=PARENT, baggage=None, more=1), DebugInfo("name")),
    ],
)
def test_a_debug_info_is_taken_apart_as_the_original_does_it(text: str, info: DebugInfo) -> None:
    assert read_debug_info(text) == info


def test_what_is_written_is_read_again() -> None:
    for info in (DebugInfo("name"), DebugInfo("name", PARENT), DebugInfo("", PARENT, (("a", "ä"),))):
        assert read_debug_info(write_debug_info(info)) == info
    assert read_debug_info(write_debug_info(DebugInfo("a\nb", PARENT))).log == "ab"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "00",
        f"01{PARENT[2:]}",
        PARENT[:-3],
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{TRACE}-{'0' * 16}-01",
    ],
)
def test_a_traceparent_that_names_no_span_is_none(text: str | None) -> None:
    assert read_traceparent(text) is None


def test_a_span_that_is_not_sampled_is_a_span_all_the_same() -> None:
    assert read_traceparent(f"{PARENT[:-2]}00") == f"{PARENT[:-2]}00"


def test_the_trace_of_a_traceparent_is_its_second_word() -> None:
    assert trace_of(PARENT) == TRACE
    assert trace_of(None) == trace_of("nonsense") == ""


@pytest.mark.parametrize(
    ("debug_info", "name"),
    [
        ("ops\n00-x", "ops"),
        ("a\udcffb", "a\\udcffb"),
        ("\ud800", "\\ud800"),
        ("é" * NAME_MAX + "x", "é" * NAME_MAX),
        ("\udcff" * NAME_MAX, ("\\udcff" * NAME_MAX)[:NAME_MAX]),
    ],
)
def test_who_asks_is_told_in_letters_that_a_record_can_hold(debug_info: str, name: str) -> None:
    assert named(debug_info) == name
