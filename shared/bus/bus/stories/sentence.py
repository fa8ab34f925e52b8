"""Sentence: an error of the interface in words for people."""

from enum import Enum
from typing import Any

from schema.objects.errors import Error, InternalError


def sentence(error: Error) -> str:
    """`Bad_power_state: found Running, expected Halted`; of an internal error, what it says."""
    if isinstance(error, InternalError):
        return error.message
    told = (f"{name} {_word(value)}" for name, value in error if name != "kind")
    return ": ".join(word for word in (error.kind, ", ".join(told)) if word)


def _word(value: Any) -> str:
    return str(value.value if isinstance(value, Enum) else value)
