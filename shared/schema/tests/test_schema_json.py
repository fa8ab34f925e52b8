import contextlib
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from schema import rpc
from schema.wire import json, scalars
from schema.wire.errors import JsonError, UnsupportedJsonError
from schema.wire.lenient import MAX_DEPTH, read_leniently
from schema.wire.value import Dict

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.lists(st.tuples(st.text(max_size=5), inner)).map(Dict),
    max_leaves=20,
)


@given(values)
def test_every_value_is_read_back_as_it_was_written(value: Any) -> None:
    assert json.loads(json.dumps(value)) == value


@given(values)
def test_the_lenient_reader_agrees_with_the_fast_one(value: Any) -> None:
    assert read_leniently(json.dumps(value)) == value


@given(st.text())
def test_any_text_is_read_or_refused_with_words(text: str) -> None:
    with contextlib.suppress(JsonError):
        json.dumps(json.loads(text))


@given(st.binary())
@example(b'{"method":"VM.exists","params":[{"debug_info":"d","id":' + b"[" * 900 + b"]" * 900 + b'}],"id":1}')
@example(b'{"method":"VM.delay","params":[{"debug_info":"d","id":"x","delay":"0x1p99999z"}],"id":1}')
@example(b"9" * 5000)
@example(b'["\\u0041",' + b"9" * 5000 + b"]")
def test_any_body_is_a_request_or_gets_an_answer(body: bytes) -> None:
    with pytest.raises(rpc.BadRequestError) as caught:
        rpc.decode_request(body)
    assert isinstance(caught.value.answer, bytes)


@given(st.text(alphabet='{}[]()<>":,/*\\\nu0dD8aeE+-.1truefalsnNI '))
def test_both_readers_agree_on_any_text(text: str) -> None:
    assert outcome(json.loads, text) == outcome(read_leniently, text)


def outcome(read: Any, text: str) -> str:
    try:
        return repr(read(text))
    except JsonError as error:
        return f"refused: {error}"


def refusal(text: str) -> str:
    with pytest.raises(JsonError) as caught:
        json.loads(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("{", "Line 1, bytes 0-1", "Unexpected end of input"),
        ('"abc', "Line 1, bytes 3-4", "Unexpected end of input"),
        ('{"a" 1}', "Line 1, bytes 5-7", "Expected ':' but found '1}'"),
        ("{1:2}", "Line 1, bytes 1-5", "Expected string or identifier but found '1:2}'"),
        ('{"a":1,}', "Line 1, bytes 7-8", "Expected string or identifier but found '}'"),
        ('{"a":1;', "Line 1, bytes 6-7", "Expected ',' or '}' but found ';'"),
        ("[1 2]", "Line 1, bytes 3-5", "Expected ',' or ']' but found '2]'"),
        ("(1 2)", "Line 1, bytes 3-5", "Expected ',' or ')' but found '2)'"),
        ('<"A" 1>', "Line 1, bytes 5-7", "Expected ':' or '>' but found '1>'"),
        ('<"A": 1 2>', "Line 1, bytes 8-10", "Expected '>' but found '2>'"),
        ("1  x", "Line 1, bytes 2-4", "Junk after end of JSON value: 'x'"),
        ("trueish", "Line 1, bytes 3-7", "Junk after end of JSON value: 'ish'"),
        ("-Inf", "Line 1, bytes 0-4", "Invalid token '-Inf'"),
        ("[\n\n  nul]", "Line 3, bytes 2-6", "Invalid token 'nul]'"),
        ("/* \n */ x", "Line 2, bytes 4-5", "Invalid token 'x'"),
        ("// x", "", "Blank input data"),
        ("[// x", "Line 2, bytes -1-0", "Unexpected end of input"),
        ("/* x", "Line 1, bytes 3-4", "Unterminated comment ''"),
        ("é x", "Line 1, bytes 0-4", "Invalid token 'é x'"),
        ("x" * 50, "Line 1, bytes 0-33", f"Invalid token '{'x' * 33}'"),
        ("1" + "x" * 50, "Line 1, bytes 0-33", f"Junk after end of JSON value: '{'x' * 32}'"),
        ('"\\x"', "Line 1, bytes 2-4", "Invalid escape sequence 'x\"'"),
        ('"\\uzzzz"', "Line 1, bytes 2-8", "Invalid escape sequence 'uzzzz\"'"),
        (
            '"\\ud800"',
            "Line 1, bytes 7-8",
            "Missing escape sequence representing low surrogate for code point beyond U+FFFF '\"'",
        ),
        (
            '"\\ud800\\u0041"',
            "Line 1, bytes 12-14",
            "Invalid low surrogate for code point beyond U+FFFF '\\u0041\"'",
        ),
    ],
)
def test_a_text_is_refused_in_yojsons_words_and_at_its_place(text: str, place: str, words: str) -> None:
    sentence = f"{place}:\n{words}" if place else words
    assert refusal(text) == f"Yojson.Json_error({scalars.quoted(sentence)})"


@pytest.mark.parametrize("digits", ["9223372036854775808", "-9223372036854775809", "9" * 5000])
def test_an_integer_beyond_64_bits_is_refused_after_the_text_has_been_read(digits: str) -> None:
    assert refusal(f"[{digits}]") == 'Failure("Int64.of_string")'
    assert refusal(f'["\\u0041", {{"a": {digits}}}]') == 'Failure("Int64.of_string")'
    assert "Unexpected end of input" in refusal(f"[{digits}")


@pytest.mark.parametrize(
    ("text", "json_text"),
    [
        ("()", "()"),
        ("( 1 , [2, (3)] )", "(1,[2,(3)])"),
        ("< a >", '<"a">'),
        ('[1, <"A" : {"x" : 1.0}>, (2)]', '<"A":{"x":1.0}>'),
        ("(99999999999999999999)", "(99999999999999999999)"),
    ],
)
def test_yojsons_tuples_and_variants_are_read_but_have_no_value(text: str, json_text: str) -> None:
    with pytest.raises(UnsupportedJsonError) as caught:
        json.loads(text)
    assert caught.value.json == json_text
    assert str(caught.value) == "Jsonrpc.JsonToRpcError(_)"


@pytest.mark.parametrize("opening", ["[", '{"a":', '["\\u0041",'])
def test_a_value_may_be_nested_as_deep_as_the_limit_and_no_deeper(opening: str) -> None:
    closing = "]" if opening[0] == "[" else "}"
    allowed = opening * MAX_DEPTH + "1" + closing * MAX_DEPTH
    assert json.dumps(json.loads(allowed)) == allowed.replace("\\u0041", "A")
    assert "nested deeper" in refusal(opening + allowed + closing)
    assert "nested deeper" in refusal(opening * 5000)


def test_a_flat_value_may_hold_more_brackets_than_the_limit() -> None:
    flat = "[" + ",".join(["[]", "{}"] * MAX_DEPTH) + "]"
    assert json.dumps(json.loads(flat)) == flat


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a:1, b:[], c:{}}", Dict([("a", 1), ("b", []), ("c", Dict())])),
        ("/* x */ [1, // y\n 2]", [1, 2]),
        ('"\\ud83d\\ude00\\n"', "😀\n"),
        ('"\\u0041\\/"', "A/"),
        ('["\\u0041", -1.5, 1e3, true, null, Infinity]', ["A", -1.5, 1000.0, True, None, math.inf]),
        ("-0", 0),
        ("1e999", math.inf),
    ],
)
def test_what_yojson_takes_beyond_json_is_read(text: str, value: Any) -> None:
    assert json.loads(text) == value
    assert read_leniently(text) == value


def test_a_lone_low_surrogate_keeps_its_bytes() -> None:
    text = json.loads('"\\udc41"')
    assert json.dumps(text).encode("utf-8", "surrogateescape") == b'"\xed\xb1\x81"'


def test_a_string_is_quoted_as_ocaml_quotes_it() -> None:
    assert scalars.quoted('a"\\\n\t\r\bé\x00') == r'"a\"\\\n\t\r\b\195\169\000"'


@given(st.integers(-(2**80), 2**80))
def test_an_integer_of_any_size_comes_round_to_its_width(value: int) -> None:
    assert -(2**62) <= scalars.wrap(value, 63) < 2**62
    assert (scalars.wrap(value, 63) - value) % 2**63 == 0


@pytest.mark.parametrize(
    ("text", "bits", "value"),
    [
        ("12", 63, 12),
        ("-1_000", 63, -1000),
        ("0x10", 63, 16),
        ("0b101", 63, 5),
        ("0o17", 63, 15),
        ("0u7", 63, 7),
        ("0xffffffffffffffff", 64, -1),
        ("4611686018427387904", 63, None),
        ("9223372036854775807", 64, 2**63 - 1),
        ("0x1ffffffffffffffff", 64, None),
        ("0b2", 63, None),
        ("1f", 63, None),
        ("", 63, None),
        (" 1", 63, None),
    ],
)
def test_integers_are_read_from_text_as_ocaml_does(text: str, bits: int, value: int | None) -> None:
    assert scalars.integer_of_text(text, bits) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        (" +1_0e1", 100.0),
        ("_1", 1.0),
        ("0x1p3", 8.0),
        ("-0X.8", -0.5),
        ("0x1p99999", math.inf),
        ("-0x1p99999", -math.inf),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("x", None),
        ("", None),
        ("_", None),
        ("1 ", None),
        ("1e", None),
        ("0x", None),
        ("0x1p", None),
        ("1\x00", None),
    ],
)
def test_floats_are_read_from_text_as_ocaml_does(text: str, value: float | None) -> None:
    assert scalars.float_of_text(text) == value


@pytest.mark.parametrize("text", ["nan", "NAN(1)"])
def test_not_a_number_is_read_from_text(text: str) -> None:
    value = scalars.float_of_text(text)
    assert value is not None
    assert math.isnan(value)
