from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schema import rpc
from schema.golden_types import TYPES
from schema.methods import METHODS
from schema.wire.codec import decode_text, encode_text, from_rpc
from schema.wire.errors import MarshalError
from schema.wire.shape import (
    Association,
    Choice,
    Enumeration,
    Integer,
    Opaque,
    Optional,
    Product,
    Scalar,
    Sequence,
    Structure,
    Sum,
    shape_of,
)
from schema.wire.value import NULL, Dict

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS: dict[type, st.SearchStrategy[Any]] = {
    type(None): st.none(),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    str: TEXT,
}
OPAQUE: dict[str, st.SearchStrategy[Any]] = {
    "uuid": st.uuids().map(str),
    "CPU_policy.t": TEXT,
    "Rpc.t": st.sampled_from([NULL, True, 7, 1.5, "x", [1, "x"]]) | st.just(Dict([("a", 1), ("a", None)])),
}
RPC = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.lists(st.tuples(TEXT, inner), max_size=4).map(Dict),
    max_leaves=8,
)


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of any type that has a wire form, from its shape."""
    match shape_of(annotation):
        case Scalar(type=type_):
            return SCALARS[type_]
        case Integer(bits=bits):
            return st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        case Opaque(name=name):
            return OPAQUE[name]
        case Optional(content=content):
            return st.none() | values_of(content)
        case Sequence(content=content):
            return st.lists(values_of(content), max_size=3).map(tuple)
        case Association(content=content):
            return st.lists(st.tuples(TEXT, values_of(content)), max_size=3).map(tuple)
        case Product(contents=contents, make=make):
            return st.tuples(*map(values_of, contents)).map(lambda parts: make(*parts))
        case Structure(type=class_, fields=fields):
            return st.builds(class_, **{field.name: values_of(field.type) for field in fields})
        case Sum(choices=choices):
            return st.one_of(*map(values_of_choice, choices))
        case Enumeration(type=members):
            return st.sampled_from(members)


def values_of_choice(choice: Choice) -> st.SearchStrategy[Any]:
    return st.builds(choice.type, **{name: values_of(type_) for name, type_ in choice.fields})


few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("name", sorted(TYPES))
@few
@given(data=st.data())
def test_every_value_of_a_type_is_read_back_as_it_was_written(name: str, data: st.DataObject) -> None:
    value = data.draw(values_of(TYPES[name]))
    assert decode_text(TYPES[name], encode_text(TYPES[name], value)) == value


@pytest.mark.parametrize("name", sorted(TYPES))
@few
@given(rpc_value=RPC)
def test_any_wire_value_is_of_a_type_or_refused_with_words(name: str, rpc_value: Any) -> None:
    try:
        value = from_rpc(TYPES[name], rpc_value)
    except MarshalError:
        return
    text = encode_text(TYPES[name], value)
    assert encode_text(TYPES[name], decode_text(TYPES[name], text)) == text


@pytest.mark.parametrize("name", sorted(METHODS))
@settings(parent=few, max_examples=3)
@given(data=st.data())
def test_every_call_and_its_result_reach_the_other_side(name: str, data: st.DataObject) -> None:
    method = METHODS[name]
    params = {parameter: data.draw(values_of(type_)) for parameter, type_ in method.parameters}
    call = rpc.decode_request(rpc.encode_request(name, **params))
    assert (call.method, call.params) == (name, params)
    result = data.draw(values_of(method.result))
    assert rpc.decode_response(name, rpc.encode_result(name, result)) == result
