"""Scalars: how OCaml reads numbers from strings, and what its integers do at their ends."""

import re

INT_BITS = 63
"""OCaml's native integers on a 64-bit machine."""

_INTEGER = re.compile(r"([-+]?)(?:0([xXoObBuU]))?([0-9A-Fa-f][0-9A-Fa-f_]*)")
_FLOAT = re.compile(
    r"[-+]?(?:nan|inf|infinity|[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9][0-9_]*)?)", re.IGNORECASE
)
_HEX_FLOAT = re.compile(r"[-+]?0[xX][0-9A-Fa-f][0-9A-Fa-f_]*(?:\.[0-9A-Fa-f_]*)?(?:[pP][-+]?[0-9][0-9_]*)?")
_BASES = {"x": 16, "o": 8, "b": 2, "u": 10}


def wrap(value: int, bits: int) -> int:
    """`value` as a signed integer of so many bits: what does not fit comes round."""
    span = 1 << bits
    value &= span - 1
    return value - span if value >= span >> 1 else value


def integer_of_text(text: str, bits: int) -> int | None:
    """OCaml's `int_of_string` for an integer of so many bits; None where it raises.

    Decimal numbers must fit; those with a base prefix may use every bit and come round.
    """
    found = _INTEGER.fullmatch(text)
    if found is None:
        return None
    sign, prefix, digits = found.groups()
    try:
        magnitude = int(digits.replace("_", ""), _BASES[prefix.lower()] if prefix else 10)
    except ValueError:
        return None
    limit = 1 << (bits - 1)
    if prefix:
        value = -magnitude if sign == "-" else magnitude
        return wrap(value, bits) if magnitude < limit << 1 else None
    value = -magnitude if sign == "-" else magnitude
    return value if -limit <= value < limit else None


def float_of_text(text: str) -> float | None:
    """OCaml's `float_of_string`; None where it raises."""
    if _HEX_FLOAT.fullmatch(text):
        return float.fromhex(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return None


def text_of_float(value: float) -> str:
    """A float as Yojson writes it: 16 digits where they tell it exactly, else 17, never like an integer."""
    if value != value:  # noqa: PLR0124  not a number is the one value that differs from itself
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.16g}"
    if float(text) != value:
        text = f"{value:.17g}"
    return text if any(mark in text for mark in ".e") else text + ".0"
