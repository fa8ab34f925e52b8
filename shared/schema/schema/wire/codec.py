"""Codec: compiles a Python type into a reader and a writer of its rpclib wire form, once for each type."""

from collections.abc import Callable
from functools import cache
from typing import Any

from schema.wire import json
from schema.wire.errors import MarshalError
from schema.wire.readers import reader_of
from schema.wire.writers import TEXT, WIRE, Writers

__all__ = ["MarshalError", "decode_text", "encode_text", "from_rpc", "to_rpc"]


@cache
def _writer(type_: Any) -> Callable[[Any], Any]:
    return Writers(WIRE).of(type_)


@cache
def _text_writer(type_: Any) -> Callable[[Any], str]:
    return Writers(TEXT).of(type_)


@cache
def _reader(type_: Any) -> Callable[[Any], Any]:
    return reader_of(type_)


def to_rpc(type_: Any, value: Any) -> Any:
    """A value as a wire value (see `schema.wire.value`)."""
    return _writer(type_)(value)


def from_rpc(type_: Any, rpc: Any) -> Any:
    """A wire value as a value of `type_`.

    Raises:
        MarshalError: it is none; the text is the original's.
    """
    return _reader(type_)(rpc)


def encode_text(type_: Any, value: Any) -> str:
    """A value as JSON, byte for byte as the original writes it."""
    return _text_writer(type_)(value)


def decode_text(type_: Any, text: str) -> Any:
    """A value from JSON.

    Raises:
        JsonError: the text is no JSON.
        MarshalError: the JSON is no such value.
    """
    return from_rpc(type_, json.loads(text))
